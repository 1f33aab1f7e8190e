#pragma once

/// \file
/// How a shared library says what it is. Its one exported symbol is a Manifest: plain numbers and C strings, readable
/// before any of its code is called.

#include <peftlab/params.h>

#include <torch/version.h>

#include <cstdint>

namespace peftlab {

class Dataset;
class Method;
class Metric;
class Model;

/// Raised whenever a public header changes in a way that a plugin built before would not survive.
inline constexpr uint32_t kAbi = 5;
inline constexpr uint32_t kManifestMagic = 0x5045464C;  // "PEFL"

/// What a plugin is.
enum class Kind : uint32_t { model = 1, dataset = 2, method = 3, metric = 4 };

/// Facts about a plugin, checked by the registry before it is used. Fields are only ever added at the end.
struct Manifest {
  uint32_t magic;             ///< kManifestMagic
  uint32_t abi;               ///< kAbi when it was built
  uint32_t kind;              ///< a Kind
  uint32_t cxx11_abi;         ///< _GLIBCXX_USE_CXX11_ABI when it was built
  const char* torch_version;  ///< LibTorch's when it was built, "2.11.0"
  const char* compiler;       ///< such as "12.2.0", for messages
  const char* name;           ///< folder, file, target and `plugin =`
  const char* summary;        ///< what it does, in a line
  const char* source;         ///< the paper or page it follows
  const char* aliases;        ///< other names it answers to, space-separated: model types, peft types
  void* (*create)(Params*);   ///< a new object, as a pointer to its kind's class; options are read in its constructor
};

template <typename Interface>
struct KindOf;
template <>
struct KindOf<Model> {
  static constexpr Kind value = Kind::model;
};
template <>
struct KindOf<Dataset> {
  static constexpr Kind value = Kind::dataset;
};
template <>
struct KindOf<Method> {
  static constexpr Kind value = Kind::method;
};
template <>
struct KindOf<Metric> {
  static constexpr Kind value = Kind::metric;
};

}  // namespace peftlab

/// Makes this library a plugin: PEFTLAB_PLUGIN(Method, Lora, "lora", "summary", "arXiv:2106.09685", "LORA").
/// `Interface` is Model, Dataset, Method or Metric; `Class` derives from it and is made from a Params&. Stands once, in
/// namespace peftlab.
#define PEFTLAB_PLUGIN(Interface, Class, name, summary, source, aliases)                              \
  extern "C" {                                                                                        \
  extern PEFTLAB_API const ::peftlab::Manifest peftlab_plugin;                                        \
  const ::peftlab::Manifest peftlab_plugin = {                                                        \
      ::peftlab::kManifestMagic,                                                                      \
      ::peftlab::kAbi,                                                                                \
      static_cast<uint32_t>(::peftlab::KindOf<Interface>::value),                                     \
      _GLIBCXX_USE_CXX11_ABI,                                                                         \
      TORCH_VERSION,                                                                                  \
      __VERSION__,                                                                                    \
      name,                                                                                           \
      summary,                                                                                        \
      source,                                                                                         \
      aliases,                                                                                        \
      [](::peftlab::Params* params) -> void* { return static_cast<Interface*>(new Class(*params)); }, \
  };                                                                                                  \
  }
