// SPDX-License-Identifier: GPL-2.0-only
// The known name that a misspelt one was probably meant to be. Pure functions.
#ifndef USCX_BASE_NEAREST_H_
#define USCX_BASE_NEAREST_H_

#include <string>
#include <string_view>
#include <vector>

namespace uscx {

// How many letters must be put in, taken out, replaced, or swapped with their neighbour to make one of the other.
size_t edit_distance(std::string_view a, std::string_view b);

// The nearest of `known`, and of several the first; empty if none is near: a third of the letters may differ.
std::string nearest_name(std::string_view name, const std::vector<std::string> &known);

// " (did you mean 'NAME'?)" for the nearest name, or nothing: to stand behind the unknown name in a message.
std::string did_you_mean(std::string_view name, const std::vector<std::string> &known);

}  // namespace uscx

#endif  // USCX_BASE_NEAREST_H_
