// SPDX-License-Identifier: GPL-2.0-only
// Reads the file back with a reader of its own, whose field numbers are written out here and not taken from the table.
#include "report/perfetto.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <map>
#include <protozero/pbf_reader.hpp>
#include <set>
#include <sstream>

#include "abi/scx.h"

namespace uscx::report {
namespace {

using protozero::pbf_reader;
using trace::EventType;

struct ReadEvent {
  u32 cpu;
  u64 time;
  std::string what;
};

struct ReadTrace {
  std::vector<ReadEvent> ftrace;
  std::map<u64, std::string> tracks, threads;
  std::map<u64, std::vector<std::pair<u64, s64>>> counters;
  std::vector<std::string> instants;
  std::string release;
  u32 nr_bundles = 0;
  bool sequence_started = false;
};

std::string read_sched(pbf_reader body, const char *name, bool is_switch) {
  std::string text = name;
  while (body.next()) {
    const u32 tag = body.tag();
    if (body.wire_type() == protozero::pbf_wire_type::length_delimited)
      text += fmt::format(" {}={}", tag, std::string(body.get_view()));
    else
      text += fmt::format(" {}={}", tag, is_switch && tag == 4 ? body.get_int64() : body.get_int32());
  }
  return text;
}

void read_bundle(pbf_reader bundle, ReadTrace &out) {
  u32 cpu = ~0u;
  out.nr_bundles++;
  while (bundle.next()) {
    if (bundle.tag() == 1) {
      cpu = bundle.get_uint32();
      continue;
    }
    ASSERT_EQ(bundle.tag(), 2u);
    pbf_reader event = bundle.get_message();
    ReadEvent read{cpu, 0, ""};
    u32 pid = 0;
    while (event.next()) switch (event.tag()) {
        case 1: read.time = event.get_uint64(); break;
        case 2: pid = event.get_uint32(); break;
        case 4: read.what = read_sched(event.get_message(), "switch", true); break;
        case 17: read.what = read_sched(event.get_message(), "wakeup", false); break;
        case 20: read.what = read_sched(event.get_message(), "waking", false); break;
        default: FAIL() << "ftrace event field " << event.tag();
      }
    read.what = fmt::format("[{}] {}", pid, read.what);
    out.ftrace.push_back(read);
  }
}

void read_track(pbf_reader track, ReadTrace &out) {
  u64 uuid = 0;
  std::string name;
  while (track.next()) {
    if (track.tag() == 1)
      uuid = track.get_uint64();
    else if (track.tag() == 2)
      name = track.get_string();
    else
      track.skip();
  }
  EXPECT_TRUE(out.tracks.emplace(uuid, name).second) << "track " << uuid << " is described twice";
}

void read_track_event(pbf_reader event, u64 time, ReadTrace &out) {
  s32 type = 0;
  u64 track = 0;
  s64 value = 0;
  std::string name;
  while (event.next()) switch (event.tag()) {
      case 9: type = event.get_enum(); break;
      case 11: track = event.get_uint64(); break;
      case 23: name = event.get_string(); break;
      case 30: value = event.get_int64(); break;
      default: FAIL() << "track event field " << event.tag();
    }
  ASSERT_TRUE(out.tracks.count(track)) << "an event comes before its track " << track;
  if (type == 4)
    out.counters[track].push_back({time, value});
  else if (type == 3)
    out.instants.push_back(fmt::format("{} {}: {}", time, out.tracks[track], name));
  else
    FAIL() << "type " << type;
}

void read_packet(pbf_reader packet, ReadTrace &out) {
  u64 time = 0;
  u32 sequence = 0;
  while (packet.next()) switch (packet.tag()) {
      case 1: read_bundle(packet.get_message(), out); break;
      case 2: {
        pbf_reader tree = packet.get_message();
        while (tree.next(2)) {
          pbf_reader thread = tree.get_message();
          u64 tid = 0;
          while (thread.next()) {
            if (thread.tag() == 1)
              tid = thread.get_uint32();
            else if (thread.tag() == 2)
              out.threads[tid] = thread.get_string();
            else
              thread.skip();
          }
        }
        break;
      }
      case 8: time = packet.get_uint64(); break;
      case 10: sequence = packet.get_uint32(); break;
      case 11: read_track_event(packet.get_message(), time, out); break;
      case 13:
        EXPECT_EQ(packet.get_uint32(), 1u);
        out.sequence_started = true;
        break;
      case 45: {
        pbf_reader info = packet.get_message();
        ASSERT_TRUE(info.next(1));
        pbf_reader utsname = info.get_message();
        ASSERT_TRUE(utsname.next(3));
        out.release = utsname.get_string();
        break;
      }
      case 60: read_track(packet.get_message(), out); break;
      case 87: EXPECT_TRUE(packet.get_bool()); break;
      default: FAIL() << "packet field " << packet.tag();
    }
  EXPECT_NE(sequence, 0u);
  EXPECT_TRUE(out.sequence_started);
}

ReadTrace read_trace(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream bytes;
  bytes << file.rdbuf();
  const std::string data = bytes.str();
  ReadTrace out;
  pbf_reader trace(data);
  while (trace.next()) {
    EXPECT_EQ(trace.tag(), 1u);
    read_packet(trace.get_message(), out);
  }
  return out;
}

bool exists(const std::string &path) { return access(path.c_str(), F_OK) == 0; }

struct PerfettoTest : testing::Test {
  std::string dir, path;
  trace::Tracer tracer{4};
  PerfettoTest() {
    dir = testing::TempDir() + "uscx-perfetto-XXXXXX";
    EXPECT_TRUE(mkdtemp(dir.data()));
    path = dir + "/t.pftrace";
  }
  ~PerfettoTest() override {
    unlink(path.c_str());
    rmdir(dir.c_str());
  }
  std::unique_ptr<PerfettoSink> create(u32 nr_cpus = 4) {
    auto sink = PerfettoSink::create(path, nr_cpus);
    if (!sink.ok()) ADD_FAILURE() << sink.message();
    tracer.add_sink(sink->get());
    return sink.take();
  }
};

TEST_F(PerfettoTest, SchedulingEventsComeBackAsWritten) {
  auto sink = create();
  tracer.emit(EventType::task_new, 0, 0, 10, tracer.text("hog"), static_cast<u64>(-5), 0);
  tracer.emit(EventType::task_new, 0, 0, 11, tracer.text("nap"), 0, 0);
  tracer.emit(EventType::sched_waking, 2, 100, 10, 1, 0, 0);
  tracer.emit(EventType::sched_wakeup, 1, 150, 10, 1);
  tracer.emit(EventType::sched_switch, 1, 200, 0, 0, 10, 1);
  tracer.emit(EventType::task_rename, 1, 250, 10, tracer.text("pig"));
  tracer.emit(EventType::sched_waking, 1, 260, 11, 3, 0, 10);
  tracer.emit(EventType::sched_switch, 1, 300, 10, 0, 11, 1);
  tracer.emit(EventType::sched_switch, 1, 400, 11, 1, 0, 0);
  EXPECT_FALSE(exists(path));
  ASSERT_TRUE(sink->finish(tracer).ok());
  const ReadTrace read = read_trace(path);
  EXPECT_FALSE(exists(path + ".tmp"));
  std::vector<std::string> lines;
  for (const ReadEvent &event : read.ftrace)
    lines.push_back(fmt::format("{} {} {}", event.cpu, event.time, event.what));
  EXPECT_EQ(lines, (std::vector<std::string>{
                       "1 150 [0] wakeup 1=hog 2=10 3=115 4=1 5=1",
                       "1 200 [0] switch 1=swapper/1 2=0 3=120 4=0 5=hog 6=10 7=115",
                       "1 260 [10] waking 1=nap 2=11 3=120 4=1 5=3",
                       "1 300 [10] switch 1=pig 2=10 3=115 4=256 5=nap 6=11 7=120",
                       "1 400 [11] switch 1=nap 2=11 3=120 4=1 5=swapper/1 6=0 7=120",
                       "2 100 [0] waking 1=hog 2=10 3=115 4=1 5=1",
                   }));
  EXPECT_EQ(read.threads, (std::map<u64, std::string>{{10, "pig"}, {11, "nap"}}));
  EXPECT_EQ(read.release.substr(0, 3), "7.2");
}

TEST_F(PerfettoTest, DepthsAreCountersAndExitsInstants) {
  auto sink = create();
  tracer.emit(EventType::scx_state, 0, 10, SCX_ENABLED);
  tracer.emit(EventType::dsq_insert, 1, 20, 10, 7, 0, 1);
  tracer.emit(EventType::dsq_insert, 2, 30, 11, 7, 0, 2);
  tracer.emit(EventType::dsq_remove, 2, 40, 11, 7, 1);
  tracer.emit(EventType::dsq_insert, 3, 50, 12, SCX_DSQ_LOCAL, 0, 1);
  tracer.emit(EventType::scx_exit, 0, 60, SCX_EXIT_ERROR, 0, tracer.text("runtime error"), tracer.text("oops"));
  ASSERT_TRUE(sink->finish(tracer).ok());
  const ReadTrace read = read_trace(path);
  std::map<std::string, std::vector<std::pair<u64, s64>>> by_name;
  for (const auto &[track, values] : read.counters) by_name[read.tracks.at(track)] = values;
  EXPECT_EQ(by_name["dsq 0x7 depth"], (std::vector<std::pair<u64, s64>>{{20, 1}, {30, 2}, {40, 1}}));
  EXPECT_EQ(by_name["local dsq 3 depth"], (std::vector<std::pair<u64, s64>>{{50, 1}}));
  EXPECT_EQ(read.instants, (std::vector<std::string>{"10 sched_ext: enabled",
                                                     "60 sched_ext: exit SCX_EXIT_ERROR: runtime error (oops)"}));
}

TEST_F(PerfettoTest, EachCpusEventsAreInOrderOfTimeOverManyBundles) {
  auto sink = create();
  constexpr u32 kEvents = 5000;
  for (u64 i = 0; i < kEvents; i++) {
    const u64 back = i % 7 == 0 ? 45 : 0;  // Some come after a later one of their CPU.
    tracer.emit(EventType::sched_switch, static_cast<u32>(i % 3), 100 + i * 10 - back, i % 5, 1, (i + 3) % 5, 0);
  }
  ASSERT_TRUE(sink->finish(tracer).ok());
  const ReadTrace read = read_trace(path);
  EXPECT_EQ(read.ftrace.size(), kEvents);
  EXPECT_GT(read.nr_bundles, 6u);
  u64 last[4] = {};
  for (const ReadEvent &event : read.ftrace) {
    EXPECT_GE(event.time, last[event.cpu]);
    last[event.cpu] = event.time;
  }
}

TEST_F(PerfettoTest, UnfinishedFileVanishes) {
  {
    auto sink = create();
    EXPECT_TRUE(exists(path + ".tmp"));
  }
  EXPECT_FALSE(exists(path + ".tmp"));
  EXPECT_FALSE(exists(path));
}

TEST_F(PerfettoTest, FailedWriteIsAnErrorAndLeavesNothing) {
  struct rlimit old, small;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  small = old;
  small.rlim_cur = 20'000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  auto sink = create();
  for (u64 i = 0; i < 10'000; i++) tracer.emit(EventType::sched_switch, 0, i, 1, 1, 2, 0);
  const Status status = sink->finish(tracer);
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, old_handler);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.message(), "trace file " + path + ": File too large");
  EXPECT_FALSE(exists(path));
  EXPECT_FALSE(exists(path + ".tmp"));
}

TEST_F(PerfettoTest, PathThatCannotBeWrittenIsRefused) {
  EXPECT_FALSE(PerfettoSink::create(dir, 1).ok());
  EXPECT_FALSE(PerfettoSink::create("/dev/null", 1).ok());
  auto sink = PerfettoSink::create(dir + "/missing/t", 1);
  ASSERT_FALSE(sink.ok());
  EXPECT_EQ(sink.message(),
            fmt::format("trace file {0}/missing/t: cannot create {0}/missing/t.tmp: No such file or directory", dir));
}

TEST_F(PerfettoTest, HashIsTheSameWithAndWithoutTheSink) {
  trace::Tracer plain(4);
  auto sink = create();
  for (trace::Tracer *t : {&plain, &tracer}) {
    t->emit(EventType::task_new, 0, 0, 10, t->text("hog"), 0, 0);
    t->emit(EventType::sched_switch, 1, 200, 0, 0, 10, 1);
    t->emit(EventType::log, 1, 200, t->text("line"));
  }
  EXPECT_EQ(plain.hash(), tracer.hash());
}

}  // namespace
}  // namespace uscx::report
