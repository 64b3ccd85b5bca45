# SPDX-License-Identifier: GPL-2.0-only
# libbpf, at least 1.7, in two variants that must never meet in one program:
#   libbpf::bpf         as it is, talking to the host's kernel;
#   libbpf::redirected  with its system calls renamed to ours (cmake/libbpf-redirect.syms), as src/bpf/ defines them.
# scripts/setup has built it into build/deps/libbpf unless the system's is new enough.
set(USCX_LIBBPF_MIN 1.7)
set(USCX_LIBBPF_DIR ${CMAKE_SOURCE_DIR}/build/deps/libbpf CACHE PATH "libbpf as scripts/setup builds it")

if(EXISTS ${USCX_LIBBPF_DIR}/stamp)
  set(USCX_LIBBPF_INCLUDE_DIR ${USCX_LIBBPF_DIR}/include)
  set(USCX_LIBBPF_ARCHIVE ${USCX_LIBBPF_DIR}/lib/libbpf.a)
else()
  find_package(PkgConfig REQUIRED)
  pkg_check_modules(USCX_SYSTEM_LIBBPF QUIET libbpf>=${USCX_LIBBPF_MIN})
  if(NOT USCX_SYSTEM_LIBBPF_FOUND)
    message(FATAL_ERROR "libbpf >= ${USCX_LIBBPF_MIN} is missing: run scripts/setup")
  endif()
  set(USCX_LIBBPF_INCLUDE_DIR ${USCX_SYSTEM_LIBBPF_INCLUDEDIR})
  set(USCX_LIBBPF_ARCHIVE ${USCX_SYSTEM_LIBBPF_LIBDIR}/libbpf.a)
endif()

# A variant of a redirected call that slipped through would reach the host's kernel unnoticed.
execute_process(COMMAND ${CMAKE_NM} -u ${USCX_LIBBPF_ARCHIVE} OUTPUT_VARIABLE undefined COMMAND_ERROR_IS_FATAL ANY
                ERROR_QUIET)
string(REGEX MATCH " U (open|__open_2|__open64_2|fopen|mmap|fcntl|gzopen|openat|openat64|dup)\n" missed "${undefined}")
if(missed)
  string(STRIP "${CMAKE_MATCH_1}" missed)
  message(FATAL_ERROR "${USCX_LIBBPF_ARCHIVE} calls ${missed}, which cmake/libbpf-redirect.syms does not redirect")
endif()

find_package(ZLIB REQUIRED)
find_library(USCX_LIBELF elf REQUIRED)

set(USCX_LIBBPF_REDIRECTED ${CMAKE_BINARY_DIR}/libbpf-redirected.a)
add_custom_command(
  OUTPUT ${USCX_LIBBPF_REDIRECTED}
  COMMAND ${CMAKE_OBJCOPY} --redefine-syms=${CMAKE_SOURCE_DIR}/cmake/libbpf-redirect.syms ${USCX_LIBBPF_ARCHIVE}
          ${USCX_LIBBPF_REDIRECTED}
  DEPENDS ${USCX_LIBBPF_ARCHIVE} ${CMAKE_SOURCE_DIR}/cmake/libbpf-redirect.syms
  COMMENT "Redirecting libbpf's system calls"
  VERBATIM)
add_custom_target(uscx_libbpf_redirected DEPENDS ${USCX_LIBBPF_REDIRECTED})

add_library(libbpf::bpf STATIC IMPORTED GLOBAL)
set_target_properties(libbpf::bpf PROPERTIES
  IMPORTED_LOCATION ${USCX_LIBBPF_ARCHIVE}
  INTERFACE_INCLUDE_DIRECTORIES ${USCX_LIBBPF_INCLUDE_DIR}
  INTERFACE_LINK_LIBRARIES "${USCX_LIBELF};ZLIB::ZLIB")

add_library(libbpf::redirected STATIC IMPORTED GLOBAL)
set_target_properties(libbpf::redirected PROPERTIES
  IMPORTED_LOCATION ${USCX_LIBBPF_REDIRECTED}
  INTERFACE_INCLUDE_DIRECTORIES ${USCX_LIBBPF_INCLUDE_DIR}
  INTERFACE_LINK_LIBRARIES "${USCX_LIBELF};ZLIB::ZLIB")
add_dependencies(libbpf::redirected uscx_libbpf_redirected)
