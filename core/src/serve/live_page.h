#pragma once

/// \file
/// What is going on in a store, as HTML.

#include "store/store.h"

#include <string>

namespace peftlab::serve {

/// The experiments of the store, the one run last first.
std::string experiments_page(const store::Store& store);

/// An experiment's runs with their progress and the losses of those that run: a page whose part `live` its script
/// replaces by live_part() whenever something changes. Throws: ConfigError if there is no such experiment.
std::string live_page(const store::Store& store, const std::string& experiment);
std::string live_part(const store::Store& store, const std::string& experiment);

/// Changes whenever live_part() would.
std::string state_of(const store::Store& store, const std::string& experiment);

/// The Content-Security-Policy of these pages.
std::string policy();

}  // namespace peftlab::serve
