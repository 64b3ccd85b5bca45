# SPDX-License-Identifier: GPL-2.0-only
# Included last: tells the Makefile where the build has its programs, wherever their folders put them.
if(USCX_TESTS)
  file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/programs/with-tests CONTENT "")
endif()
foreach(program uscx btf_to_c)
  if(TARGET ${program})
    file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/programs/${program}.path CONTENT "$<TARGET_FILE:${program}>")
  endif()
endforeach()
