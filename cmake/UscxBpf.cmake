# SPDX-License-Identifier: GPL-2.0-only
# BPF objects, compiled with clang for the bpf target.
#
# uscx_bpf_object(NAME SOURCE [CLANG clang] [VMLINUX dir] [INCLUDES dir...])
#   compiles SOURCE to NAME.bpf.o in the current binary folder, through a target NAME_bpf whose property BPF_OBJECT is
#   the object's path. VMLINUX is a folder with a vmlinux.h; without it the one made from our own BTF is used.
#   CLANG is a command, by default clang-19. `uscx run X.bpf.c` compiles with the flags USCX_BPF_FLAGS too; the
#   extensions and silenced warnings are what a real kernel's vmlinux.h needs.
#
# The target vmlinux_h makes our vmlinux.h, in the folder USCX_VMLINUX_DIR.
find_program(USCX_BPF_CLANG NAMES clang-19 REQUIRED)
set(USCX_VMLINUX_DIR ${CMAKE_BINARY_DIR}/vmlinux)
set(USCX_BPF_FLAGS -target bpf -mcpu=v3 -O2 -g -Wall -D__TARGET_ARCH_x86 -fms-extensions -Wno-microsoft-anon-tag
    -Wno-compare-distinct-pointer-types -idirafter /usr/include/${CMAKE_LIBRARY_ARCHITECTURE})

function(uscx_bpf_object name source)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "CLANG;VMLINUX" "INCLUDES")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "uscx_bpf_object(${name}): unknown arguments ${arg_UNPARSED_ARGUMENTS}")
  endif()
  set(clang ${USCX_BPF_CLANG})
  if(arg_CLANG)
    find_program(USCX_BPF_CLANG_${arg_CLANG} NAMES ${arg_CLANG} REQUIRED)
    set(clang ${USCX_BPF_CLANG_${arg_CLANG}})
  endif()
  set(types vmlinux_h)
  set(vmlinux ${USCX_VMLINUX_DIR})
  if(arg_VMLINUX)
    set(types ${arg_VMLINUX}/vmlinux.h)
    set(vmlinux ${arg_VMLINUX})
  endif()

  get_filename_component(source ${source} ABSOLUTE)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.bpf.o)
  set(includes ${arg_INCLUDES} ${vmlinux} ${USCX_LIBBPF_INCLUDE_DIR})
  list(TRANSFORM includes PREPEND -I)
  add_custom_command(
    OUTPUT ${object}
    COMMAND ${clang} ${USCX_BPF_FLAGS} -Werror ${includes} -MMD -MT ${object} -MF ${object}.d -c ${source} -o ${object}
    DEPENDS ${source} ${types}
    DEPFILE ${object}.d
    COMMENT "Compiling ${name}.bpf.o"
    VERBATIM)
  add_custom_target(${name}_bpf DEPENDS ${object})
  set_target_properties(${name}_bpf PROPERTIES BPF_OBJECT ${object})
endfunction()
