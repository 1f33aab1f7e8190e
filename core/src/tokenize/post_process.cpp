#include "tokenize/post_process.h"

#include <fmt/format.h>

namespace peftlab::tokenize {
namespace {

/// ["[SEP]", 102]
int64_t read_pair(const Entry& entry) {
  const auto pair = entry.list();
  if (pair.size() != 2) entry.refuse(fmt::format("must be a token and its id, found {} values", pair.size()));
  pair[0].text();
  return pair[1].id();
}

/// One special token of a template may be several ids.
std::vector<int64_t> read_special(const Entry& tokens, const std::string& name, const Entry& user) {
  if (!tokens.table().contains(name)) user.refuse(fmt::format("names \"{}\", which special_tokens lacks", name));
  std::vector<int64_t> ids;
  for (const Entry& id : tokens.at(name).at("ids").list()) ids.push_back(id.id());
  return ids;
}

Frame read_template(const Entry& entry) {
  Frame frame;
  bool is_behind = false;
  for (const Entry& part : entry.at("single").list()) {
    if (const auto special = part.find("SpecialToken")) {
      const auto ids = read_special(entry.at("special_tokens"), special->at("id").text(), *special);
      auto& side = is_behind ? frame.behind : frame.before;
      side.insert(side.end(), ids.begin(), ids.end());
    } else if (const auto sequence = part.find("Sequence")) {
      if (sequence->at("id").text() != "A") sequence->refuse("must be \"A\" in the template of a single text");
      if (is_behind) sequence->refuse("is there twice");
      is_behind = true;
    } else {
      part.refuse("must be a SpecialToken or a Sequence, found " + to_json(part.value()));
    }
  }
  if (!is_behind) entry.at("single").refuse("has no place for the text (Sequence A)");
  return frame;
}

}  // namespace

Frame Frame::inside(const Frame& outer) const {
  Frame both = outer;
  both.before.insert(both.before.end(), before.begin(), before.end());
  both.behind.insert(both.behind.begin(), behind.begin(), behind.end());
  return both;
}

Frame read_frame(const Entry& entry) {
  const std::string& type = entry.at("type").text();
  if (type == "TemplateProcessing") return read_template(entry);
  if (type == "BertProcessing" || type == "RobertaProcessing") {
    return {{read_pair(entry.at("cls"))}, {read_pair(entry.at("sep"))}};
  }
  if (type == "ByteLevel") return {};  // it changes offsets only
  if (type == "Sequence") {
    Frame frame;
    for (const Entry& part : entry.at("processors").list()) frame = frame.inside(read_frame(part));
    return frame;
  }
  entry.refuse(
      fmt::format("is of the kind \"{}\", which peftlab does not know; it knows TemplateProcessing, "
                  "BertProcessing, RobertaProcessing, ByteLevel and Sequence",
                  type));
}

}  // namespace peftlab::tokenize
