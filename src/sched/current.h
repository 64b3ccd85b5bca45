// SPDX-License-Identifier: GPL-2.0-only
// The task or kernel thread that runs now, for code that wants to wait and may be called in host context as well.
#ifndef USCX_SCHED_CURRENT_H_
#define USCX_SCHED_CURRENT_H_

namespace uscx::sched {

class KthreadApi;

// The one whose code is running on its fiber on this host thread: a kernel thread, or a system call that may wait. Null
// elsewhere, host context included.
KthreadApi *current_api();

}  // namespace uscx::sched

#endif  // USCX_SCHED_CURRENT_H_
