#pragma once

/// \file
/// What the shared library peftlab_api shows to the outside: everything is hidden but what says PEFTLAB_API.

#define PEFTLAB_API __attribute__((visibility("default")))
