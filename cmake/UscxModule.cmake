# SPDX-License-Identifier: GPL-2.0-only
# uscx_module(NAME DEPS...): one static library per folder of src/, named uscx_NAME, from all of its .cc files, and
# one test program, NAME_test, from its *_test.cc files. DEPS are other modules or imported targets.

# uscx_precompiled(TARGET): TARGET's C++ files see src/base/precompiled.h, which uscx_base compiles.
function(uscx_precompiled target)
  if(NOT USCX_PRECOMPILE)
    return()
  endif()
  if(target STREQUAL uscx_base)
    target_precompile_headers(uscx_base PRIVATE $<$<COMPILE_LANGUAGE:CXX>:${CMAKE_SOURCE_DIR}/src/base/precompiled.h>)
  else()
    target_precompile_headers(${target} REUSE_FROM uscx_base)
  endif()
endfunction()

function(uscx_module name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc ${CMAKE_CURRENT_SOURCE_DIR}/*/*.cc)
  list(FILTER sources EXCLUDE REGEX "/src/[^/]+/tools/")  # programs that run at build time, with a main of their own
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  if(sources)
    add_library(uscx_${name} STATIC ${sources})
    uscx_precompiled(uscx_${name})
    set(scope PUBLIC)
  else()
    add_library(uscx_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(uscx_${name} ${scope} ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(uscx_${name} ${scope} fmt::fmt ${ARGN})
  if(tests)
    add_executable(${name}_test ${tests})
    uscx_precompiled(${name}_test)
    target_link_libraries(${name}_test PRIVATE uscx_${name} GTest::gtest GTest::gtest_main)
    add_test(NAME ${name} COMMAND ${name}_test)
  endif()
endfunction()

# uscx_keep_registrars(TARGET): links a static library whole into whatever links it. A registry entry (a kfunc, a
# helper,
# a map type) has no name that anything refers to, so an ordinary link would drop its object file.
function(uscx_keep_registrars target)
  target_link_options(${target} INTERFACE
    "LINKER:--whole-archive,$<TARGET_FILE:${target}>,--no-whole-archive")
endfunction()
