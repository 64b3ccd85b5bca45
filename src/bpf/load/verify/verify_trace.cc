// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/load/verify/verify_trace.h"

#include <algorithm>

namespace uscx::bpf {

void Needs::add(Place place, Need need) {
  if (need != Need::kNone) kind_.set(place);
  if (need == Need::kValue) value_.set(place);
}

Need Needs::take(Place place) {
  const Need need = of(place);
  kind_.reset(place);
  value_.reset(place);
  return need;
}

void Needs::drop_frame(u32 frame) {
  for (u32 i = 0; i < kPlacesOfFrame; i++) take(static_cast<Place>(frame * kPlacesOfFrame + i));
}

bool Needs::add(const Needs &other) {
  const bool is_new = (other.kind_ & ~kind_).any() || (other.value_ & ~value_).any();
  kind_ |= other.kind_;
  value_ |= other.value_;
  return is_new;
}

void walk_back(std::span<const TraceStep> steps, Needs *needs) {
  using Op = TraceStep::Op;
  for (size_t i = steps.size(); i-- > 0;) {
    const TraceStep &step = steps[i];
    switch (step.op) {
      case Op::kDefine: needs->take(step.to); break;
      case Op::kMove: needs->add(step.from, needs->take(step.to)); break;
      case Op::kPart:
        if (needs->take(step.to) == Need::kValue) needs->add(step.from, Need::kValue);
        break;
      case Op::kMix:
        if (needs->of(step.to) == Need::kValue) needs->add(step.from, Need::kValue);
        break;
      case Op::kOffset:
        if (needs->of(step.to) != Need::kNone) needs->add(step.from, Need::kValue);
        break;
      case Op::kSame: {
        const Need both = std::max(needs->of(step.to), needs->of(step.from));
        needs->add(step.to, both);
        needs->add(step.from, both);
        break;
      }
      case Op::kUseKind: needs->add(step.to, Need::kKind); break;
      case Op::kUseValue: needs->add(step.to, Need::kValue); break;
      case Op::kEnter: needs->drop_frame(step.to / kPlacesOfFrame); break;
    }
  }
}

}  // namespace uscx::bpf
