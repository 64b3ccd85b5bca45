// SPDX-License-Identifier: GPL-2.0-only
#include "machine/topology.h"

#include <gtest/gtest.h>

namespace uscx::machine {
namespace {

TEST(Topology, SecondThreadsComeAfterAllFirstThreads) {
  Result<Topology> parsed = Topology::parse("2n:2l:2c:2t");
  ASSERT_TRUE(parsed.ok()) << parsed.message();
  const Topology &topology = *parsed;
  EXPECT_EQ(topology.nr_cpus(), 16u);
  EXPECT_EQ(topology.nr_nodes(), 2u);
  EXPECT_EQ(topology.nr_llcs(), 4u);
  EXPECT_EQ(topology.nr_cores(), 8u);
  EXPECT_TRUE(topology.smt_active());
  for (u32 cpu = 0; cpu < 16; cpu++) {
    EXPECT_EQ(topology.core_of(cpu), cpu % 8);
    EXPECT_EQ(topology.llc_of(cpu), cpu % 8 / 2);
    EXPECT_EQ(topology.node_of(cpu), cpu % 8 / 4);
    EXPECT_TRUE(topology.smt_mask(cpu).test(cpu));
  }
  EXPECT_EQ(topology.smt_mask(11).view().to_list(), "3,11");
  EXPECT_EQ(topology.llc_mask(1).view().to_list(), "2-3,10-11");
  EXPECT_EQ(topology.node_mask(1).view().to_list(), "4-7,12-15");
  EXPECT_EQ(topology.all().view().to_list(), "0-15");
  EXPECT_EQ(topology.to_string(), "2n:2l:2c:2t");
}

// The masks of each level are a partition of all CPUs, whatever the shape.
TEST(Topology, EachLevelIsAPartition) {
  for (u32 nodes : {1u, 2u, 3u})
    for (u32 llcs_per_node : {1u, 4u})
      for (u32 cores_per_llc : {1u, 5u})
        for (u32 threads : {1u, 2u, 4u}) {
          const u32 llcs = nodes * llcs_per_node;
          Result<Topology> parsed =
              Topology::parse(fmt::format("{}n:{}l:{}c:{}t", nodes, llcs_per_node, cores_per_llc, threads));
          ASSERT_TRUE(parsed.ok()) << parsed.message();
          const Topology &t = *parsed;
          u32 in_nodes = 0, in_llcs = 0;
          for (u32 node = 0; node < nodes; node++) in_nodes += t.node_mask(node).view().weight();
          for (u32 llc = 0; llc < llcs; llc++) {
            in_llcs += t.llc_mask(llc).view().weight();
            EXPECT_TRUE(t.llc_mask(llc).view().subset_of(t.node_mask(t.node_of(t.llc_mask(llc).view().first()))));
          }
          EXPECT_EQ(in_nodes, t.nr_cpus());
          EXPECT_EQ(in_llcs, t.nr_cpus());
          for (u32 cpu = 0; cpu < t.nr_cpus(); cpu++) {
            EXPECT_EQ(t.smt_mask(cpu).view().weight(), threads);
            EXPECT_TRUE(t.smt_mask(cpu).view().subset_of(t.llc_mask(t.llc_of(cpu))));
          }
        }
}

TEST(Topology, CountsArePerParentAndPartsLeftOutAreOne) {
  EXPECT_EQ(Topology::parse("6c")->to_string(), "1n:1l:6c:1t");
  EXPECT_EQ(Topology::parse("2n")->to_string(), "2n:1l:1c:1t");
  EXPECT_EQ(Topology::parse("2n:4l:8c:2t")->nr_cpus(), 128u);
  EXPECT_EQ(Topology::flat(8192).nr_cpus(), 8192u);
}

TEST(Topology, BadTextSaysWhatIsWrong) {
  const std::pair<const char *, const char *> cases[] = {
      {"",
       "topology '': '' is not a number followed by n (nodes), l (LLCs per node), c (cores per "
       "LLC) or t (threads per core)"},
      {"4x",
       "topology '4x': '4x' is not a number followed by n (nodes), l (LLCs per node), c (cores per "
       "LLC) or t (threads per core)"},
      {"2c:",
       "topology '2c:': '' is not a number followed by n (nodes), l (LLCs per node), c (cores per "
       "LLC) or t (threads per core)"},
      {"2c:4c", "topology '2c:4c': the number of cores per LLC is given twice"},
      {"8192c:2t", "topology '8192c:2t': 16384 CPUs are more than the 8192 that a machine can have"},
  };
  for (auto [text, message] : cases) {
    Result<Topology> parsed = Topology::parse(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_EQ(parsed.message(), message);
  }
  EXPECT_FALSE(Topology::parse("0c").ok());
  EXPECT_FALSE(Topology::parse("-1c").ok());
  EXPECT_FALSE(Topology::parse("99999c").ok());
}

}  // namespace
}  // namespace uscx::machine
