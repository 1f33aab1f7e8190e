#pragma once

/// \file
/// How a shared library says what it is, twice: in a text of its file, which the host reads before it loads the library
/// (and so before any of its code can run), and in a Manifest, its one exported symbol.

#include <peftlab/params.h>

#include <torch/version.h>

#include <cstdint>
#include <filesystem>
#include <string>

namespace peftlab {

class Dataset;
class Method;
class Metric;
class Model;

/// Raised whenever a public header changes in a way that a plugin built before would not survive. A test holds it to the
/// layouts that tests/abi/layouts.txt records.
#define PEFTLAB_ABI 7
inline constexpr uint32_t kAbi = PEFTLAB_ABI;
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
  /// Writes into an empty folder what a small instance of the plugin is tried on, and returns its path: of a data set a
  /// file that open() reads, of a model a config.json. Null if the plugin has none (see sample_writer()).
  std::string (*write_sample)(const char* folder);
};

/// A plugin's class may have a static member that makes a sample of what it reads,
///
///     static std::filesystem::path write_sample(const std::filesystem::path& folder);
///
/// with which `peftlab plugins check` tries data sets and models: a data file with several examples, or the config.json
/// of a model with a hidden width of at most some dozens.
template <typename Class>
constexpr std::string (*sample_writer())(const char*) {
  if constexpr (requires(const std::filesystem::path& folder) { Class::write_sample(folder); }) {
    return
        [](const char* folder) -> std::string { return Class::write_sample(std::filesystem::path(folder)).string(); };
  } else {
    return nullptr;
  }
}

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

#define PEFTLAB_TEXT_OF(x) #x
#define PEFTLAB_TEXT(x) PEFTLAB_TEXT_OF(x)

/// The section of a plugin's file that holds its record: lines of a key, a space and a value, and a NUL.
#define PEFTLAB_RECORD_SECTION ".peftlab"

// clang-format off
/// The record itself, of texts. PEFTLAB_PLUGIN makes it.
#define PEFTLAB_RECORD(abi, torch, kind, name)                                                        \
  __attribute__((section(PEFTLAB_RECORD_SECTION), used)) static const char peftlab_plugin_record[] =  \
      "abi " abi "\ntorch " torch "\ncxx11_abi " PEFTLAB_TEXT(_GLIBCXX_USE_CXX11_ABI)                 \
      "\ncompiler " __VERSION__ "\nkind " kind "\nname " name "\n";

/// Makes this library a plugin: PEFTLAB_PLUGIN(Method, Lora, "lora", "summary", "arXiv:2106.09685", "LORA").
/// `Interface` is Model, Dataset, Method or Metric; `Class` derives from it and is made from a Params&. Stands once, in
/// namespace peftlab.
#define PEFTLAB_PLUGIN(Interface, Class, name, summary, source, aliases)                              \
  PEFTLAB_RECORD(PEFTLAB_TEXT(PEFTLAB_ABI), TORCH_VERSION, #Interface, name)                          \
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
      ::peftlab::sample_writer<Class>(),                                                              \
  };                                                                                                  \
  }
// clang-format on
