// SPDX-License-Identifier: GPL-2.0-only
#include "base/need.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace uscx {
namespace {

TEST(Host, AnErrorHasTheAdviceThatHelpsAgainstIt) {
  EXPECT_EQ(host_error(EMFILE), "Too many open files (errno 24); raise the limit of open files (ulimit -n)");
  EXPECT_NE(host_error(EPERM).find("seccomp"), std::string::npos);
  EXPECT_EQ(host_error(EPERM).find("ulimit"), std::string::npos);
  EXPECT_EQ(host_error(EINVAL), "Invalid argument (errno 22)");
}

}  // namespace
}  // namespace uscx
