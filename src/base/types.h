// SPDX-License-Identifier: GPL-2.0-only
// The short integer names of the kernel, for C++ and for the C headers of src/abi alike.
#ifndef USCX_BASE_TYPES_H_
#define USCX_BASE_TYPES_H_

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef short s16;
typedef int s32;
typedef long long s64;

#endif  // USCX_BASE_TYPES_H_
