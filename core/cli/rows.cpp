#include "rows.h"

#include "command.h"

#include <fmt/chrono.h>

#include <algorithm>

namespace peftlab::cli {

store::Rows run_rows(const std::vector<store::RunRow>& runs) {
  store::Rows rows;
  rows.columns = {"run_uuid",
                  "experiment",
                  "label",
                  "method",
                  "seed",
                  "attempt",
                  "state",
                  "is_current",
                  "is_newest",
                  "adapter_sha256",
                  "base_sha256",
                  "trainable_parameters",
                  "total_parameters",
                  "train_seconds",
                  "peak_memory_bytes",
                  "created_ms",
                  "started_ms",
                  "ended_ms",
                  "error_kind",
                  "error_text"};
  for (const store::RunRow& run : runs) {
    const auto error = [&](const std::string& text) {
      return run.state == "failed" ? store::Cell(text) : store::Cell();
    };
    rows.rows.push_back({run.uuid,
                         run.experiment,
                         run.label,
                         run.method,
                         run.seed,
                         run.attempt,
                         run.state,
                         int64_t{run.is_current},
                         int64_t{run.is_newest},
                         cell_of(run.adapter_sha256),
                         cell_of(run.base_sha256),
                         cell_of(run.trainable_parameters),
                         cell_of(run.total_parameters),
                         cell_of(run.train_seconds),
                         cell_of(run.peak_memory_bytes),
                         cell_of(run.created_ms),
                         cell_of(run.started_ms),
                         cell_of(run.ended_ms),
                         error(run.error_kind),
                         error(run.error_text)});
  }
  return rows;
}

void print_facts(const Facts& facts, report::Format format) {
  if (format != report::Format::table) {
    store::Rows row{{}, {{}}};
    for (const auto& [name, cell] : facts) {
      row.columns.push_back(name);
      row.rows[0].push_back(cell);
    }
    return print(report::render_table(row, format));
  }
  size_t width = 0;
  for (const auto& [name, cell] : facts) width = std::max(width, report::display_width(name));
  std::string out;
  for (const auto& [name, cell] : facts) {
    const std::string text = report::cell_text(cell);
    if (!text.empty()) out += fmt::format("{:<{}}  {}\n", name, width, text);
  }
  print(out);
}

Facts facts_of(const store::Rows& one) {
  Facts facts;
  for (size_t i = 0; i < one.columns.size(); ++i) facts.emplace_back(one.columns[i], one.rows.at(0)[i]);
  return facts;
}

std::string time_text(const std::optional<int64_t>& milliseconds) {
  return milliseconds ? fmt::format("{:%F %T}", fmt::gmtime(static_cast<std::time_t>(*milliseconds / 1000))) : "";
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace peftlab::cli
