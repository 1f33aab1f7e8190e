#include "config/variants.h"

#include <peftlab/error.h>

#include <fmt/format.h>

#include <charconv>

namespace peftlab::config {
namespace {

std::string shortest(double v) {
  char digits[32];
  std::string text(digits, std::to_chars(digits, digits + sizeof digits, v).ptr);
  // "5e-04" and "1e+05" have characters to spare.
  if (const size_t e = text.find('e'); e != std::string::npos) {
    const std::string sign = text[e + 1] == '-' ? "-" : "";
    text = text.substr(0, e + 1) + sign + text.substr(text.find_first_not_of("+-0", e + 1));
  }
  return text;
}

/// The value of a placeholder: an option of a plugin (given, or by default), or a key of [train].
const Value* lookup(const std::string& name, const Variant& variant, const Table& train) {
  for (const PluginTable& p : variant.plugins) {
    const bool prefixed = name.starts_with(p.plugin + ".");
    const std::string option = prefixed ? name.substr(p.plugin.size() + 1) : name;
    for (const Table* table : {&p.options, &p.defaults}) {
      if (const auto entry = table->find(option); entry != table->end() && !entry->second.is_null()) {
        return &entry->second;
      }
    }
  }
  const auto entry = train.find(name.starts_with("train.") ? name.substr(6) : name);
  return entry == train.end() || entry->second.is_null() ? nullptr : &entry->second;
}

std::string fill(const std::string& text, const Variant& variant, const Table& train) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '}') {
      throw ConfigError(fmt::format("`label` = \"{}\" has a `}}` without a `{{`", text));
    }
    if (text[i] != '{') {
      out += text[i];
      continue;
    }
    const size_t end = text.find('}', i);
    if (end == std::string::npos) {
      throw ConfigError(fmt::format("`label` = \"{}\" has a `{{` without a `}}`", text));
    }
    const std::string name = text.substr(i + 1, end - i - 1);
    const Value* value = lookup(name, variant, train);
    if (value == nullptr) {
      throw ConfigError(fmt::format("`label` asks for {{{}}}, which is no option of this method", name));
    }
    if (value->get_if<Table>() != nullptr) {
      throw ConfigError(fmt::format("`label` asks for {{{}}}, which is a table", name));
    }
    out += label_text(*value);
    i = end;
  }
  return out;
}

/// Puts a grid's value where it belongs: "train.key", "plugin.option" where there are several plugins, or "option".
void assign(Variant& variant, const std::string& key, const Value& value) {
  if (key.starts_with("train.")) {
    // One of epochs and steps is given, and the grid's word counts.
    variant.train.erase(key == "train.steps" ? "epochs" : key == "train.epochs" ? "steps" : "");
    variant.train[key.substr(6)] = value;
    return;
  }
  for (PluginTable& p : variant.plugins) {
    if (variant.plugins.size() == 1) {
      p.options[key] = value;
    } else if (key.starts_with(p.plugin + ".")) {
      p.options[key.substr(p.plugin.size() + 1)] = value;
      return;
    }
  }
}

}  // namespace

std::string label_text(const Value& value) {
  if (const auto* s = value.get_if<std::string>()) {
    return *s;
  }
  if (const auto* r = value.get_if<double>()) {
    return shortest(*r);
  }
  if (const auto* list = value.get_if<List>()) {
    std::string out;
    for (const Value& item : *list) {
      out += (out.empty() ? "" : "+") + label_text(item);
    }
    return out;
  }
  return to_json(value);
}

Table train_table(const TrainSection& t) {
  Table table = {{"batch_size", t.batch_size},
                 {"gradient_accumulation", t.gradient_accumulation},
                 {"learning_rate", t.learning_rate},
                 {"lr_scheduler", t.lr_scheduler},
                 {"warmup_ratio", t.warmup_ratio},
                 {"weight_decay", t.weight_decay},
                 {"max_grad_norm", t.max_grad_norm},
                 {"precision", t.precision},
                 {"shuffle", t.shuffle},
                 {"eval_every", t.eval_every_steps ? Value(*t.eval_every_steps) : Value("epoch")},
                 {"gradient_checkpointing", t.gradient_checkpointing},
                 {"optimizer", t.optimizer},
                 {"threads", t.threads}};
  // Only where it is asked for: runs from before there was such a thing stay what they are.
  if (t.cuda_graphs) {
    table["cuda_graphs"] = true;
  }
  if (t.epochs) {
    table["epochs"] = *t.epochs;
  }
  if (t.steps) {
    table["steps"] = *t.steps;
  }
  return table;
}

int64_t count_variants(const MethodSection& method, int64_t limit) {
  int64_t n = 1;
  for (const auto& [key, values] : method.grid) {
    const auto size = static_cast<int64_t>(values.size());
    n = size > 0 && n > limit / size ? limit + 1 : n * size;
    if (n > limit) {
      return limit + 1;
    }
  }
  return n;
}

std::vector<Variant> variants(const MethodSection& method, const TrainSection& train) {
  std::vector<Variant> all = {{"", method.plugins, method.train, {}}};
  for (const auto& [key, values] : method.grid) {
    std::vector<Variant> longer;
    for (const Variant& variant : all) {
      for (size_t i = 0; i < values.size(); ++i) {
        Variant& next = longer.emplace_back(variant);
        assign(next, key, values[i]);
        next.chosen[key] = i;
      }
    }
    all = std::move(longer);
  }
  const Table base = train_table(train);
  for (Variant& variant : all) {
    Table in_force = base;
    for (const auto& [key, value] : variant.train) {
      in_force.erase(key == "steps" ? "epochs" : key == "epochs" ? "steps" : "");
      in_force[key] = value;
    }
    variant.label = fill(method.label, variant, in_force);
  }
  return all;
}

}  // namespace peftlab::config
