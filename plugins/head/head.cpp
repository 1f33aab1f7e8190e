/// Linear probing: only the head of a classifier is trained, on features that stay what the base makes of a text.
///
///     logits = head(h), of which the head's parameters take a gradient
///
/// The head is trained beside every method; alone it shows what the others add to it.
///
/// Source: Alain and Bengio, "Understanding intermediate layers using linear classifier probes", 2016,
/// arXiv:1610.01644, at the last layer. The head is the model's own, of one map or two. In the file it stands as peft
/// keeps a head, under its name in the model; the host writes and reads it.

#include <peftlab/adapter_config.h>
#include <peftlab/error.h>
#include <peftlab/method.h>
#include <peftlab/plugin.h>

namespace peftlab {
namespace {

class Head final : public Method {
 public:
  explicit Head(Params&) {}

  void attach(Model& model, const Tokenizer&) override {
    const std::string head = model.classification_head();
    if (head.empty()) {
      throw UnsupportedError("plugin head trains the head of a classifier, and this model of type `" +
                             model.facts().model_type + "` has no classes. Name them with `labels` under [model]");
    }
    std::vector<std::string> names;
    for (const std::string& name : model.named_parameters().keys()) {
      if (name.starts_with(head + ".")) names.push_back(name);
    }
    model.train_parameters(names);
  }

  bool starts_at_base() const override { return true; }

  /// The head is the model's own: there is nothing to fold.
  void merge(Model&) override {}

  AdapterFiles save(Model&) const override {
    AdapterFiles files;
    files.config = {{"peft_type", "HEAD"}};
    return files;
  }

  void load(Model&, const AdapterFiles& files) override {
    copy_tensors(files.tensors, {}, "an adapter of plugin head");
    copy_tensors(files.extra, {}, "the extra file of plugin head");
  }

  Table options_from(const Table& adapter_config) const override {
    AdapterConfig config(adapter_config, "plugin head");
    config.expect("peft_type", "HEAD");
    config.finish();
    return {};
  }
};

}  // namespace

PEFTLAB_PLUGIN(Method, Head, "head", "only the head of a classifier is trained", "arXiv:1610.01644", "HEAD")

}  // namespace peftlab
