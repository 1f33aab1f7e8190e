#include "report/tensorboard.h"

#include "support/files.h"

#include <fmt/format.h>
#include <boost/crc.hpp>

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <set>

namespace peftlab::report {
namespace {

// A dozen fields of five messages: less than what a protobuf compiler in the build would cost.

/// A protobuf message being written: fields of the four kinds that are needed (protobuf.dev, "Encoding").
class Message {
 public:
  Message& integer(int field, uint64_t value) {
    tag(field, 0);
    return varint(value);
  }
  Message& real(int field, double value) {
    tag(field, 1);
    return fixed(std::bit_cast<uint64_t>(value));
  }
  Message& single(int field, float value) {
    tag(field, 5);
    return fixed(std::bit_cast<uint32_t>(value));
  }
  Message& text(int field, std::string_view value) {
    tag(field, 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  Message& message(int field, const Message& value) { return text(field, value.bytes_); }

  const std::string& bytes() const { return bytes_; }

 private:
  void tag(int field, int kind) { varint(static_cast<uint64_t>(field) << 3 | static_cast<uint64_t>(kind)); }

  Message& varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
    return *this;
  }

  template <typename Unsigned>
  Message& fixed(Unsigned value) {
    for (size_t i = 0; i < sizeof value; ++i) bytes_ += static_cast<char>(value >> (8 * i));
    return *this;
  }

  std::string bytes_;
};

template <typename Unsigned>
std::string little_endian(Unsigned value) {
  std::string bytes;
  for (size_t i = 0; i < sizeof value; ++i) bytes += static_cast<char>(value >> (8 * i));
  return bytes;
}

/// CRC-32C, rotated and shifted as TFRecords have it: a checksum of data that holds checksums would be weak.
std::string masked_crc(const std::string& bytes) {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(bytes.data(), bytes.size());
  const uint32_t sum = crc.checksum();
  return little_endian(static_cast<uint32_t>((sum >> 15 | sum << 17) + 0xa282ead8U));
}

std::string record(const Message& event) {
  const std::string length = little_endian(static_cast<uint64_t>(event.bytes().size()));
  return length + masked_crc(length) + event.bytes() + masked_crc(event.bytes());
}

Message event(double wall_seconds, int64_t step) {
  Message event;
  event.real(1, wall_seconds);
  if (step != 0) event.integer(2, static_cast<uint64_t>(step));
  return event;
}

/// google.protobuf.Value
Message value_message(const Value& value) {
  Message message;
  if (const auto* truth = value.get_if<bool>()) return message.integer(4, *truth ? 1 : 0);
  if (const auto* whole = value.get_if<int64_t>()) return message.real(2, static_cast<double>(*whole));
  if (const auto* number = value.get_if<double>()) return message.real(2, *number);
  const auto* text = value.get_if<std::string>();
  return message.text(3, text ? *text : to_json(value));
}

/// A summary of the plugin "hparams" (tensorboard/plugins/hparams/plugin_data.proto). The tensor says nothing; without
/// one the value is passed over.
Message session_event(double wall_seconds, const char* tag, const Message& data) {
  Message plugin, metadata, dimension, shape, tensor, value, summary;
  plugin.text(1, "hparams").message(2, data);
  metadata.message(1, plugin);
  dimension.integer(1, 1);
  shape.message(2, dimension);
  tensor.integer(1, 1).message(2, shape).text(5, std::string(4, '\0'));  // DT_FLOAT, one element, 0.0
  value.text(1, tag).message(8, tensor).message(9, metadata);
  summary.message(1, value);
  return event(wall_seconds, 0).message(5, summary);
}

Message start_data(const EventSession& session) {
  Message start, data;
  for (const auto& [name, value] : session.hyperparameters) {
    Message entry;  // of a map
    start.message(1, entry.text(1, name).message(2, value_message(value)));
  }
  start.real(5, session.start_seconds);
  return data.message(3, start);
}

Message end_data(const EventSession& session) {
  Message end, data;
  end.integer(1, session.has_succeeded ? 1 : 2).real(2, session.end_seconds);
  return data.message(4, end);
}

double seconds(const std::optional<int64_t>& milliseconds) {
  return static_cast<double>(milliseconds.value_or(0)) / 1000.0;
}

/// The options that a run was made with, by dotted names.
void add_options(const Value& value, const std::string& path, EventSession& session) {
  if (const Table* table = value.get_if<Table>()) {
    for (const auto& [key, entry] : *table) add_options(entry, path + "." + key, session);
  } else if (!value.is_null()) {
    session.hyperparameters.emplace_back(path, value);
  }
}

EventSession session_of(const store::RunDetail& detail) {
  EventSession session;
  session.start_seconds = seconds(detail.run.started_ms);
  session.end_seconds = seconds(detail.run.ended_ms);
  session.has_succeeded = detail.run.state == "finished";
  session.hyperparameters = {{"method", detail.run.method}, {"seed", detail.run.seed}};
  if (const auto train = detail.config.find("train"); train != detail.config.end()) {
    add_options(train->second, "train", session);
  }
  if (const auto methods = detail.config.find("methods"); methods != detail.config.end()) {
    for (const Value& method : methods->second.get_if<List>() ? *methods->second.get_if<List>() : List()) {
      const Value* plugin = method.find("plugin");
      const Value* options = method.find("options");
      if (plugin && options) add_options(*options, *plugin->get_if<std::string>(), session);
    }
  }
  return session;
}

std::vector<EventScalar> scalars_of(const store::Store& store, const store::RunDetail& detail) {
  std::vector<EventScalar> scalars;
  int64_t last = 0;
  for (const std::string& name : detail.series) {
    for (const store::MetricPoint& point : store.series(detail.run.uuid, name)) {
      scalars.push_back({name, point.step, point.value, seconds(point.at_ms)});
      last = std::max(last, point.step);
    }
  }
  for (const store::Score& score : detail.scores) {
    scalars.push_back({score.split + "/" + score.metric, last, score.value, seconds(detail.run.ended_ms)});
  }
  return scalars;
}

std::string folder_name(const std::string& label) {
  std::string name;
  for (const char c : label) {
    const bool is_plain =
        std::isalnum(static_cast<unsigned char>(c)) || std::string("-_+.,= ").find(c) != std::string::npos;
    name += is_plain ? c : '_';
  }
  // No name that means another folder, none that is hidden.
  if (name.empty() || name.front() == '.') name.insert(0, 1, '_');
  return name.substr(0, 200);
}

}  // namespace

std::string event_file(const EventSession& session, const std::vector<EventScalar>& scalars) {
  std::string bytes = record(event(session.start_seconds, 0).text(3, "brain.Event:2"));
  bytes += record(session_event(session.start_seconds, "_hparams_/session_start_info", start_data(session)));
  for (const EventScalar& scalar : scalars) {
    Message value, summary;
    value.text(1, scalar.tag).single(2, static_cast<float>(scalar.value));
    bytes += record(event(scalar.wall_seconds, scalar.step).message(5, summary.message(1, value)));
  }
  return bytes + record(session_event(session.end_seconds, "_hparams_/session_end_info", end_data(session)));
}

int64_t write_tensorboard(const store::Store& store, const std::string& experiment,
                          const std::filesystem::path& folder) {
  std::map<std::string, std::string> folder_of_label;
  std::set<std::string> taken;
  int64_t written = 0;
  for (const store::RunRow& run : store.runs(store.resolve_experiment(experiment))) {
    if (!run.is_compared() || !run.is_newest) continue;
    auto [place, is_new] = folder_of_label.try_emplace(run.label, folder_name(run.label));
    for (int n = 2; is_new && !taken.insert(place->second).second; ++n) {
      place->second = fmt::format("{}-{}", folder_name(run.label), n);
    }
    const auto detail = store.run(run.uuid);
    const auto target = folder / place->second / fmt::format("seed{}", run.seed);
    std::filesystem::create_directories(target);
    const int64_t began = run.started_ms.value_or(run.created_ms.value_or(0)) / 1000;
    write_text(target / fmt::format("events.out.tfevents.{:010}.peftlab.{}", began, run.uuid.substr(0, 8)),
               event_file(session_of(detail), scalars_of(store, detail)));
    ++written;
  }
  return written;
}

}  // namespace peftlab::report
