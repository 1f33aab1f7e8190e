#pragma once

/// \file
/// What opening a model has to know of the adapter folders its methods come from.

#include "attach/session.h"
#include "checkpoint/adapter_folder.h"

namespace peftlab::attach {

/// An adapter folder, read.
struct SavedAdapter {
  std::filesystem::path folder;
  checkpoint::AdapterFolder content;
};

/// Has the method prepare the model. What is wrong with an adapter folder's options is told as that: FormatError with
/// the folder's name; of a new method it stays the ConfigError it is.
void prepare_for(const AttachedMethod& made, Model& model);

}  // namespace peftlab::attach
