# SPDX-License-Identifier: GPL-2.0-only
# uscx_module(NAME DEPS...): one static library per folder of src/, named uscx_NAME, from all of its .cc files, and
# one test program, NAME_test, from its *_test.cc files. DEPS are other modules or imported targets.
function(uscx_module name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc ${CMAKE_CURRENT_SOURCE_DIR}/*/*.cc)
  list(FILTER sources EXCLUDE REGEX "/src/[^/]+/tools/")  # programs that run at build time, with a main of their own
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  if(sources)
    add_library(uscx_${name} STATIC ${sources})
    set(scope PUBLIC)
  else()
    add_library(uscx_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(uscx_${name} ${scope} ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(uscx_${name} ${scope} fmt::fmt ${ARGN})
  if(tests)
    add_executable(${name}_test ${tests})
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
