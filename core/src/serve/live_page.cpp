#include "serve/live_page.h"

#include "report/comparison.h"
#include "report/html.h"
#include "report/markup.h"
#include "report/svg.h"
#include "support/sha256.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace peftlab::serve {
namespace {

using report::shown;

constexpr const char* kStyle =
#include "report/page_css.inc"
    ;
constexpr const char* kScript =
#include "serve/live_js.inc"
    ;

std::string path_part(const std::string& text) {
  std::string out;
  for (const unsigned char c : text) {
    const bool is_plain = std::isalnum(c) || c == '-' || c == '_' || c == '.' || c == '~';
    out += is_plain ? std::string(1, static_cast<char>(c)) : fmt::format("%{:02X}", c);
  }
  return out;
}

std::string page_of(const std::string& title, const std::string& body) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
      "content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n{}"
      "<script>{}</script>\n</body>\n</html>\n",
      shown(title), kStyle, body, kScript);
}

std::string ago(const std::optional<int64_t>& moment_ms) {
  if (!moment_ms) return "-";
  const auto now =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  return report::seconds_text(std::max(0.0, static_cast<double>(now - *moment_ms) / 1000.0));
}

std::string steps_text(const store::Progress& run) {
  if (!run.step) return "-";
  return run.planned_steps ? fmt::format("{} of {}", *run.step, *run.planned_steps) : std::to_string(*run.step);
}

}  // namespace

std::string policy() {
  return "default-src 'none'; style-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
         "frame-ancestors 'none'; script-src " +
         report::script_source(kScript);
}

std::string experiments_page(const store::Store& store) {
  std::string body = "<h1>peftlab</h1>\n<p>Experiments, the one run last first.</p>\n<ul>\n";
  for (const store::ExperimentRow& row : store.experiments()) {
    int running = 0;
    for (const store::Progress& run : store.progress(row.name)) running += run.state == "running";
    body += fmt::format("<li><a href=\"/experiments/{}\">{}</a>: {} of {} runs finished{}</li>\n", path_part(row.name),
                        shown(row.name), row.n_finished, row.n_runs,
                        running > 0 ? fmt::format(", {} running", running) : "");
  }
  return page_of("peftlab", body + "</ul>\n");
}

std::string live_part(const store::Store& store, const std::string& experiment) {
  report::HtmlTable table{"Every run, and how far it is",
                          {"method", "seed", "for", "state", "steps", "loss", "last sign"},
                          {false, true, false, false, true, true, true},
                          {}};
  std::vector<report::Curve> curves;
  for (const store::Progress& run : store.progress(experiment)) {
    table.rows.push_back({{run.label, {}},
                          {std::to_string(run.seed), static_cast<double>(run.seed)},
                          {run.role == "method" ? "the comparison" : "a search", {}},
                          {run.state, {}},
                          {steps_text(run), {}},
                          {run.loss ? fmt::format("{:.4g}", *run.loss) : "-", run.loss},
                          {run.state == "running" ? ago(run.heartbeat_ms) : "-", {}}});
    if (run.state != "running") continue;
    auto curve =
        report::curve_of(fmt::format("{} seed {}", run.label, run.seed), {store.series(run.uuid, "train/loss")});
    curve.colour = curves.size();
    if (!curve.x.empty()) curves.push_back(std::move(curve));
  }
  std::string out = report::curve_chart("Training loss of what runs now", "optimizer step", curves);
  if (!out.empty()) out = "<figure>" + out + "</figure>\n";
  return out + report::html_table(table);
}

std::string live_page(const store::Store& store, const std::string& experiment) {
  const std::string name = store.resolve_experiment(experiment);
  return page_of(name,
                 fmt::format("<h1>{0}</h1>\n<p><a href=\"/\">All experiments</a>, <a href=\"/experiments/{1}/report\">"
                             "the report as it stands</a></p>\n<div id=\"live\" data-experiment=\"{2}\" "
                             "aria-live=\"polite\">{3}</div>\n",
                             shown(name), path_part(name), report::escape_html(name), live_part(store, name)));
}

std::string state_of(const store::Store& store, const std::string& experiment) {
  std::string state;
  for (const store::Progress& run : store.progress(experiment)) {
    state += fmt::format("{} {} {}\n", run.uuid, run.state, run.step.value_or(0));
  }
  return sha256_hex(state);
}

}  // namespace peftlab::serve
