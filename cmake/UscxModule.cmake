# SPDX-License-Identifier: GPL-2.0-only
include(GoogleTest)

# uscx_module(NAME DEPS... [ROOMS room...] [THREAD_TESTS filter]): one static library per folder of src/, named
# uscx_NAME, from all of its .cc files, and one test program, NAME_test, from its *_test.cc files. DEPS are other
# modules or imported targets. A folder with rooms is made of one object library a room, uscx_NAME_ROOM, beside the
# files that stand in no room.

# uscx_precompiled(TARGET): TARGET's C++ files see src/base/precompiled.h, which uscx_base compiles. It is named without
# its folder, so that clones make the same precompiled header and share what was compiled with it.
function(uscx_precompiled target)
  if(NOT USCX_PRECOMPILE)
    return()
  endif()
  if(target STREQUAL uscx_base)
    target_precompile_headers(uscx_base PRIVATE <base/precompiled.h>)
  else()
    target_precompile_headers(${target} REUSE_FROM uscx_base)
  endif()
endfunction()

function(uscx_module name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "THREAD_TESTS" "ROOMS")
  set(dependencies fmt::fmt ${arg_UNPARSED_ARGUMENTS})
  set(objects "")
  foreach(room ${arg_ROOMS})
    uscx_sources(${CMAKE_CURRENT_SOURCE_DIR}/${room} sources tests_of_room)
    list(APPEND tests ${tests_of_room})
    uscx_library(uscx_${name}_${room} OBJECT "${sources}" ${dependencies})
    list(APPEND objects $<TARGET_OBJECTS:uscx_${name}_${room}>)
  endforeach()
  uscx_sources(${CMAKE_CURRENT_SOURCE_DIR} own own_tests)
  foreach(room ${arg_ROOMS})
    list(FILTER own EXCLUDE REGEX "^${CMAKE_CURRENT_SOURCE_DIR}/${room}/")
    list(FILTER own_tests EXCLUDE REGEX "^${CMAKE_CURRENT_SOURCE_DIR}/${room}/")
  endforeach()
  list(APPEND objects ${own})
  list(APPEND tests ${own_tests})
  uscx_library(uscx_${name} STATIC "${objects}" ${dependencies})
  if(tests AND USCX_TESTS)
    uscx_test(${name} SOURCES ${tests} LIBRARIES uscx_${name} THREAD_TESTS ${arg_THREAD_TESTS})
  endif()
endfunction()

# uscx_test(NAME SOURCES file... LIBRARIES target... [THREAD_TESTS filter] [LABELS label...]): a test program NAME_test,
# each of whose tests is a test of its own for ctest, NAME.Suite.Test, so that times and limits are per test. Those that
# THREAD_TESTS (a filter of GoogleTest's) names run on real threads: their label `threads` has them run under
# ThreadSanitizer too.
function(uscx_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "THREAD_TESTS" "SOURCES;LIBRARIES;LABELS")
  set(target ${name}_test)
  add_executable(${target} ${arg_SOURCES})
  uscx_precompiled(${target})
  # As in CMakeLists.txt, of strings that tests compare with.
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overflow>)
  target_link_libraries(${target} PRIVATE ${arg_LIBRARIES} GTest::gtest GTest::gtest_main)
  set(others "*")
  if(arg_THREAD_TESTS)
    set(others "-${arg_THREAD_TESTS}")
    gtest_discover_tests(${target} TEST_PREFIX ${name}. TEST_FILTER ${arg_THREAD_TESTS} TEST_LIST ${target}_threads
      DISCOVERY_TIMEOUT 120 PROPERTIES LABELS "threads;${arg_LABELS}")
  endif()
  if(NOT arg_THREAD_TESTS STREQUAL "*")
    gtest_discover_tests(${target} TEST_PREFIX ${name}. TEST_FILTER ${others} DISCOVERY_TIMEOUT 120
      PROPERTIES LABELS "${arg_LABELS}")
  endif()
endfunction()

# The sources below a folder, and their tests. Programs that run at build time (tools/) have a main() of their own.
function(uscx_sources folder sources tests)
  file(GLOB_RECURSE found CONFIGURE_DEPENDS ${folder}/*.cc)
  list(FILTER found EXCLUDE REGEX "/tools/")
  set(all_tests ${found})
  list(FILTER found EXCLUDE REGEX "_test\\.cc$")
  list(FILTER all_tests INCLUDE REGEX "_test\\.cc$")
  set(${sources} ${found} PARENT_SCOPE)
  set(${tests} ${all_tests} PARENT_SCOPE)
endfunction()

function(uscx_library target kind sources)
  if(sources)
    add_library(${target} ${kind} ${sources})
    uscx_precompiled(${target})
    set(scope PUBLIC)
  else()
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(${target} ${scope} ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(${target} ${scope} ${ARGN})
endfunction()

# uscx_keep_registrars(TARGET): links a static library whole into whatever links it. A registry entry (a kfunc, a
# helper,
# a map type) has no name that anything refers to, so an ordinary link would drop its object file.
function(uscx_keep_registrars target)
  target_link_options(${target} INTERFACE
    "LINKER:--whole-archive,$<TARGET_FILE:${target}>,--no-whole-archive")
endfunction()
