#pragma once

/// \file
/// The comparison as one HTML page that needs nothing but itself.

#include "report/comparison.h"
#include "report/pictures.h"
#include "report/svg.h"

#include <string>
#include <vector>

namespace peftlab::report {

/// What [tune] tried: the primary metric on validation data over the values of one key.
struct SearchCurves {
  std::string key;  ///< of [train]: "learning_rate"
  std::vector<Curve> curves;
};

/// What the page shows beyond the comparison.
struct Page {
  Comparison comparison;
  std::string store_uuid, config_text;
  std::vector<Curve> curves;             ///< train/loss: mean over seeds, band from least to greatest
  std::vector<Curve> validation_curves;  ///< the same of validation/loss
  std::vector<store::RunDetail> runs;    ///< of the present variants, in the file's order
  std::vector<SearchCurves> searches;
  Examples examples;
};

/// Throws: ConfigError if there is no such experiment; empty means the newest.
Page page(const store::Store& store, const std::string& experiment);

/// Inline style, figures as SVG, every text escaped, one script of the page's own that nothing depends on, and no
/// reference to anything outside. The same store gives the same bytes.
std::string render_html(const Page& page);

/// The mean and band of a label over its runs: the steps are cut into at most `n_buckets` parts, each run is averaged
/// within a part, and parts are compared over runs. Points that are not finite are left out.
Curve curve_of(const std::string& label, const std::vector<std::vector<store::MetricPoint>>& runs, int n_buckets = 200);

/// Parts of the page, made by files of their own.
std::string render_figures(const Page& page);
std::string render_settings(const Page& page);
std::string render_seeds(const Page& page);
std::string render_provenance(const Page& page);

}  // namespace peftlab::report
