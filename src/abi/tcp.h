// SPDX-License-Identifier: GPL-2.0-only
// tcp_congestion_ops as BPF programs see it: a table of callbacks of another subsystem, for the BTF alone.
#ifndef USCX_ABI_TCP_H_
#define USCX_ABI_TCP_H_

#include "abi/kernel_types.h"

struct sock;
struct rate_sample;
struct ack_sample;

struct tcp_congestion_ops {
  u32 (*ssthresh)(struct sock *sk);
  void (*cong_avoid)(struct sock *sk, u32 ack, u32 acked);
  void (*set_state)(struct sock *sk, u8 new_state);
  void (*cwnd_event)(struct sock *sk, u32 ev);
  void (*in_ack_event)(struct sock *sk, u32 flags);
  void (*pkts_acked)(struct sock *sk, const struct ack_sample *sample);
  u32 (*min_tso_segs)(struct sock *sk);
  void (*cong_control)(struct sock *sk, u32 ack, int flag, const struct rate_sample *rs);
  u32 (*undo_cwnd)(struct sock *sk);
  u32 (*sndbuf_expand)(struct sock *sk);
  char name[16];
  u32 key;
  u32 flags;
  void (*init)(struct sock *sk);
  void (*release)(struct sock *sk);
};

#endif  // USCX_ABI_TCP_H_
