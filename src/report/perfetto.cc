// SPDX-License-Identifier: GPL-2.0-only
#include "report/perfetto.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <protozero/pbf_writer.hpp>

#include "report/names.h"
#include "report/perfetto_fields.h"

namespace uscx::report {
namespace {

using protozero::pbf_writer;
using trace::Event;
using trace::EventType;

constexpr u32 kSequenceId = 1;
enum Track : u64 { kSchedulerTrack = 1, kLogTrack, kMarkTrack, kBypassTrack, kFirstDsqTrack };

// What sched_switch reports for a task: ftrace's bit for a state, and TASK_REPORT_MAX for one that was preempted.
s64 ftrace_state(u64 state, bool runnable) {
  constexpr u64 kIdle = 0x402, kReport = 0x7f, kDead = 0x80;
  constexpr s64 kReportIdle = 0x80, kPreempted = 0x100, kExitDead = 0x10;
  if (runnable) return kPreempted;
  if ((state & kIdle) == kIdle) return kReportIdle;
  if (state & kDead) return kExitDead;
  u64 bit = state & kReport;
  while (bit & (bit - 1)) bit &= bit - 1;  // The highest one.
  return static_cast<s64>(bit);
}

std::string with_timestamp(u64 time_ns) {
  std::string packet;
  pbf_writer writer(packet);
  writer.add_uint64(proto::TracePacket::timestamp, time_ns);
  writer.add_uint32(proto::TracePacket::trusted_packet_sequence_id, kSequenceId);
  return packet;
}

}  // namespace

Result<std::unique_ptr<PerfettoSink>> PerfettoSink::create(const std::string &path, u32 nr_cpus) {
  struct stat existing;
  if (stat(path.c_str(), &existing) == 0 && !S_ISREG(existing.st_mode))
    return Status::error("trace file {}: it exists and is not a regular file", path);
  const std::string temporary = path + ".tmp";
  FILE *file = std::fopen(temporary.c_str(), "wbe");
  if (!file) return Status::error("trace file {}: cannot create {}: {}", path, temporary, std::strerror(errno));
  return std::unique_ptr<PerfettoSink>(new PerfettoSink(path, file, nr_cpus));
}

PerfettoSink::PerfettoSink(std::string path, FILE *file, u32 nr_cpus)
    : path_(std::move(path)),
      temporary_path_(path_ + ".tmp"),
      file_(file),
      // Long enough to make the bundle's own bytes negligible, and bounded in all for a large machine.
      bundle_events_(std::clamp<size_t>(262144 / nr_cpus, 32, 512)),
      cpus_(nr_cpus),
      next_track_uuid_(kFirstDsqTrack) {
  write_preamble();
}

PerfettoSink::~PerfettoSink() {
  if (!file_) return;
  std::fclose(file_);
  unlink(temporary_path_.c_str());
}

void PerfettoSink::write_packet(const std::string &packet) {
  std::string framed;
  pbf_writer(framed).add_message(proto::Trace::packet, packet);
  if (!error_ && std::fwrite(framed.data(), 1, framed.size(), file_) != framed.size()) error_ = errno ? errno : EIO;
}

void PerfettoSink::write_preamble() {
  std::string first = with_timestamp(0);
  {
    pbf_writer packet(first);
    packet.add_bool(proto::TracePacket::first_packet_on_sequence, true);
    packet.add_uint32(proto::TracePacket::sequence_flags, proto::TracePacket::kIncrementalStateCleared);
    // Readers choose the meaning of prev_state's bits by the kernel's version.
    pbf_writer system_info(packet, proto::TracePacket::system_info);
    pbf_writer utsname(system_info, proto::SystemInfo::utsname);
    utsname.add_string(proto::Utsname::sysname, "Linux");
    utsname.add_string(proto::Utsname::release, "7.2.0-uscx");
    utsname.add_string(proto::Utsname::machine, "x86_64");
  }
  write_packet(first);
  write_track(kSchedulerTrack, "sched_ext", false);
  write_track(kLogTrack, "kernel log", false);
  write_track(kMarkTrack, "marks", false);
  write_track(kBypassTrack, "bypass depth", true);
}

void PerfettoSink::write_track(u64 uuid, const std::string &name, bool counter) {
  std::string data = with_timestamp(0);
  {
    pbf_writer packet(data);
    pbf_writer track(packet, proto::TracePacket::track_descriptor);
    track.add_uint64(proto::TrackDescriptor::uuid, uuid);
    track.add_string(proto::TrackDescriptor::name, name);
    if (counter) {
      pbf_writer descriptor(track, proto::TrackDescriptor::counter);
      descriptor.add_enum(proto::CounterDescriptor::unit, proto::CounterDescriptor::kUnitCount);
    }
  }
  write_packet(data);
}

void PerfettoSink::write_counter(u64 uuid, u64 time_ns, u64 value) {
  std::string data = with_timestamp(time_ns);
  {
    pbf_writer packet(data);
    pbf_writer event(packet, proto::TracePacket::track_event);
    event.add_enum(proto::TrackEvent::type, proto::TrackEvent::kTypeCounter);
    event.add_uint64(proto::TrackEvent::track_uuid, uuid);
    event.add_int64(proto::TrackEvent::counter_value, static_cast<s64>(value));
  }
  write_packet(data);
}

void PerfettoSink::write_instant(u64 uuid, u64 time_ns, const std::string &name) {
  std::string data = with_timestamp(time_ns);
  {
    pbf_writer packet(data);
    pbf_writer event(packet, proto::TracePacket::track_event);
    event.add_enum(proto::TrackEvent::type, proto::TrackEvent::kTypeInstant);
    event.add_uint64(proto::TrackEvent::track_uuid, uuid);
    event.add_string(proto::TrackEvent::name, name);
  }
  write_packet(data);
}

void PerfettoSink::write_task(u64 pid, const std::string &comm, bool kthread, u64 time_ns) {
  constexpr s32 kInitPid = 1, kKthreaddPid = 2;
  std::string data = with_timestamp(time_ns);
  {
    pbf_writer packet(data);
    pbf_writer tree(packet, proto::TracePacket::process_tree);
    {
      pbf_writer process(tree, proto::ProcessTree::processes);
      process.add_int32(proto::Process::pid, static_cast<s32>(pid));
      process.add_int32(proto::Process::ppid, kthread ? (pid == kKthreaddPid ? 0 : kKthreaddPid) : kInitPid);
      process.add_string(proto::Process::cmdline, comm);
    }
    pbf_writer thread(tree, proto::ProcessTree::threads);
    thread.add_int32(proto::Thread::tid, static_cast<s32>(pid));
    thread.add_string(proto::Thread::name, comm);
    thread.add_int32(proto::Thread::tgid, static_cast<s32>(pid));
  }
  write_packet(data);
}

void PerfettoSink::write_depth(const Event &event, u64 dsq_id, u64 depth) {
  const u64 id = dsq_with_cpu(dsq_id, event.cpu);
  const auto [track, is_new] = depth_tracks_.try_emplace(id, next_track_uuid_);
  if (is_new) write_track(next_track_uuid_++, dsq_name(id) + " depth", true);
  write_counter(track->second, event.time_ns, depth);
}

void PerfettoSink::on_event(const Event &event, const trace::Tracer &tracer) {
  const u64 *args = event.args;
  switch (event.type) {
    case EventType::task_new:
      tasks_[args[0]] = Task{args[1], static_cast<s32>(120 + static_cast<s64>(args[2]))};
      return write_task(args[0], tracer.text_of(args[1]), args[3] == 1, event.time_ns);
    case EventType::task_rename:
      tasks_[args[0]].comm = args[1];
      return write_task(args[0], tracer.text_of(args[1]), false, event.time_ns);
    case EventType::task_nice: tasks_[args[0]].prio = static_cast<s32>(120 + static_cast<s64>(args[1])); return;
    case EventType::sched_switch:
    case EventType::sched_waking:
    case EventType::sched_wakeup: return add_sched_event(event, tracer);
    case EventType::dsq_insert: return write_depth(event, args[1], args[3]);
    case EventType::dsq_remove: return write_depth(event, args[1], args[2]);
    case EventType::scx_bypass: return write_counter(kBypassTrack, event.time_ns, args[0]);
    case EventType::scx_state: return write_instant(kSchedulerTrack, event.time_ns, enable_state_name(args[0]));
    case EventType::scx_exit:
      return write_instant(
          kSchedulerTrack, event.time_ns,
          fmt::format("exit {}: {} ({})", exit_kind_name(args[0]), tracer.text_of(args[2]), tracer.text_of(args[3])));
    case EventType::log: return write_instant(kLogTrack, event.time_ns, tracer.text_of(args[0]));
    case EventType::mark:
      return write_instant(kMarkTrack, event.time_ns, fmt::format("{} {}", tracer.text_of(args[0]), args[1]));
    default: return;
  }
}

void PerfettoSink::add_sched_event(const Event &event, const trace::Tracer &tracer) {
  Cpu &cpu = cpus_[event.cpu];
  Pending pending{};
  // A kernel path may report something of the host's time on this CPU after the CPU's own time has gone ahead; within a
  // CPU's track order counts more than these few hundred nanoseconds.
  const u64 last_ns = cpu.pending.empty() ? cpu.written_until_ns : cpu.pending.back().time_ns;
  pending.time_ns = std::max(event.time_ns, last_ns);
  pending.type = event.type;
  pending.on_cpu_pid = cpu.current;
  pending.pid = static_cast<s32>(event.args[0]);
  const Task &task = tasks_[event.args[0]];
  pending.comm = task.comm;
  pending.prio = task.prio;
  if (event.type == EventType::sched_switch) {
    const Task &next = tasks_[event.args[2]];
    pending.on_cpu_pid = pending.pid;
    // The idle task is always runnable, and ftrace shows it without a sign of preemption.
    pending.state = event.args[0] == 0 ? 0 : ftrace_state(event.args[1], event.args[3] != 0);
    pending.next_pid = cpu.current = static_cast<s32>(event.args[2]);
    pending.next_comm = next.comm;
    pending.next_prio = next.prio;
  } else {
    pending.target_cpu = static_cast<u32>(event.args[1]);
  }
  cpu.pending.push_back(pending);
  if (cpu.pending.size() >= bundle_events_) flush_cpu(event.cpu, tracer);
}

void PerfettoSink::flush_cpu(u32 cpu_id, const trace::Tracer &tracer) {
  Cpu &cpu = cpus_[cpu_id];
  if (cpu.pending.empty()) return;
  const auto comm_of = [&](s32 pid, u64 comm) {
    return pid == 0 ? fmt::format("swapper/{}", cpu_id) : tracer.text_of(comm);
  };
  std::string data = with_timestamp(cpu.pending.front().time_ns);
  {
    pbf_writer packet(data);
    pbf_writer bundle(packet, proto::TracePacket::ftrace_events);
    bundle.add_uint32(proto::FtraceEventBundle::cpu, cpu_id);
    for (const Pending &pending : cpu.pending) {
      pbf_writer event(bundle, proto::FtraceEventBundle::event);
      event.add_uint64(proto::FtraceEvent::timestamp, pending.time_ns);
      event.add_uint32(proto::FtraceEvent::pid, static_cast<u32>(pending.on_cpu_pid));
      if (pending.type == EventType::sched_switch) {
        pbf_writer body(event, proto::FtraceEvent::sched_switch);
        body.add_string(proto::SchedSwitch::prev_comm, comm_of(pending.pid, pending.comm));
        body.add_int32(proto::SchedSwitch::prev_pid, pending.pid);
        body.add_int32(proto::SchedSwitch::prev_prio, pending.prio);
        body.add_int64(proto::SchedSwitch::prev_state, pending.state);
        body.add_string(proto::SchedSwitch::next_comm, comm_of(pending.next_pid, pending.next_comm));
        body.add_int32(proto::SchedSwitch::next_pid, pending.next_pid);
        body.add_int32(proto::SchedSwitch::next_prio, pending.next_prio);
      } else {
        const bool waking = pending.type == EventType::sched_waking;
        pbf_writer body(event, waking ? proto::FtraceEvent::sched_waking : proto::FtraceEvent::sched_wakeup);
        body.add_string(proto::SchedWakeup::comm, comm_of(pending.pid, pending.comm));
        body.add_int32(proto::SchedWakeup::pid, pending.pid);
        body.add_int32(proto::SchedWakeup::prio, pending.prio);
        body.add_int32(proto::SchedWakeup::success, 1);
        body.add_int32(proto::SchedWakeup::target_cpu, static_cast<s32>(pending.target_cpu));
      }
    }
  }
  cpu.written_until_ns = cpu.pending.back().time_ns;
  cpu.pending.clear();
  write_packet(data);
}

Status PerfettoSink::finish(const trace::Tracer &tracer) {
  CHECK(file_, "finish() is called twice");
  for (u32 cpu = 0; cpu < cpus_.size(); cpu++) flush_cpu(cpu, tracer);
  if (std::fclose(file_) != 0 && !error_) error_ = errno;
  file_ = nullptr;
  if (!error_ && std::rename(temporary_path_.c_str(), path_.c_str()) != 0) error_ = errno;
  if (!error_) return Status::ok_status();
  unlink(temporary_path_.c_str());
  return Status::error("trace file {}: {}", path_, std::strerror(error_));
}

}  // namespace uscx::report
