#pragma once

/// \file
/// A session on the toy model, for tests of the rooms that work on one.

#include "attach/session.h"

#include <peftlab/testing/toy.h>

#include <memory>
#include <string>

namespace peftlab::testing {

/// The toy model, frozen, with one method attached from seed 0; not training.
inline attach::Session toy_session(const std::string& plugin, const Table& options = {},
                                   torch::Device device = torch::kCPU) {
  attach::Session session;
  session.device = device;
  session.model = std::make_shared<ToyModel>();
  session.model->to(device);
  session.model->freeze();
  session.tokenizer = std::make_unique<ToyTokenizer>();
  torch::manual_seed(0);
  auto method = make_method(plugin, options);
  method->prepare(*session.model);
  method->attach(*session.model, *session.tokenizer);
  session.methods.push_back({plugin, options, method});
  session.set_training(false);
  return session;
}

}  // namespace peftlab::testing
