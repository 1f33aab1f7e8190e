/// The laws of data sets.

#include "testing/laws_options.h"

#include <peftlab/error.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>
#include <thread>

namespace peftlab::testing {

using namespace bench;
namespace fs = std::filesystem;

namespace {

std::unique_ptr<Dataset> make(const DatasetCase& given) {
  Params params(given.options, "the data set");
  auto dataset = given.dataset(params);
  params.finish();
  return dataset;
}

/// Small, so that pictures cost nothing.
const ImageSpec kPictures{.height = 24, .width = 32, .mean = {0.5, 0.4, 0.3}, .deviation = {0.2, 0.3, 0.25}};

std::unique_ptr<Dataset> opened(const DatasetCase& given, const fs::path& file) {
  auto dataset = make(given);
  dataset->open(file, kPictures);
  return dataset;
}

std::string one_line(const Example& example) {
  return text(example.prompt, '\x1f', example.target, '\x1f', example.label, '\x1f', example.has_image);
}

std::vector<std::string> lines(const Dataset& dataset) {
  std::vector<std::string> all;
  for (int64_t i = 0; i < dataset.size(); ++i) all.push_back(one_line(dataset.example(i)));
  return all;
}

std::string bytes_of(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// A file of these bytes beside the sample, so that what it names is found as well.
fs::path beside(const DatasetCase& given, const std::string& bytes) {
  const fs::path file = given.sample.parent_path() / ("law_" + given.sample.filename().string());
  std::ofstream(file, std::ios::binary) << bytes;
  return file;
}

Violations law_opens(const DatasetCase& given) {
  return guarded([&](Violations& found) {
    const auto dataset = opened(given, given.sample);
    if (dataset->size() < 1) return found.push_back("its sample has no examples");
    std::set<std::string> places;
    for (int64_t i = 0; i < dataset->size(); ++i) {
      const Example example = dataset->example(i);
      if (example.target.empty() && example.label.empty()) found.push_back(text("example ", i, " has no target"));
      if (dataset->place(i).empty()) found.push_back(text("example ", i, " has no place"));
      places.insert(dataset->place(i));
    }
    if (static_cast<int64_t>(places.size()) != dataset->size()) found.push_back("two examples have one place");
    found.measured.push_back(text(dataset->size(), " examples"));
  });
}

Violations law_same_examples(const DatasetCase& given) {
  return guarded([&](Violations& found) {
    const auto dataset = opened(given, given.sample), other = opened(given, given.sample);
    const auto first = lines(*dataset);
    if (first != lines(*dataset)) found.push_back("asked again, an example is another");
    if (first != lines(*other)) found.push_back("two objects give other examples of one file");
    if (dataset->fingerprint() != other->fingerprint()) found.push_back("one file has two fingerprints");
    std::vector<std::vector<std::string>> seen(4);
    std::vector<std::thread> threads;
    for (auto& mine : seen) {
      threads.emplace_back([&] {
        try {
          mine = lines(*dataset);
        } catch (const std::exception& error) {
          mine = {error.what()};
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    if (std::any_of(seen.begin(), seen.end(), [&](const auto& mine) { return mine != first; })) {
      found.push_back("four threads do not see the same examples");
    }
  });
}

Violations law_fingerprint(const DatasetCase& given) {
  return guarded([&](Violations& found) {
    const std::string print = opened(given, given.sample)->fingerprint();
    if (print.size() != 64 || print.find_first_not_of("0123456789abcdef") != std::string::npos) {
      found.push_back(text("`", print, "` is no sha256 in hexadecimal"));
    }
    const std::string whole = bytes_of(given.sample);
    const std::string same = opened(given, beside(given, whole))->fingerprint();
    if (same != print) found.push_back("a copy of the file has another fingerprint");
    int64_t read = 0;
    for (size_t at = 0; at < whole.size(); at += std::max<size_t>(whole.size() / 16, 1)) {
      std::string changed = whole;
      changed[at] = changed[at] == 'x' ? 'y' : 'x';
      try {
        ++read;
        if (opened(given, beside(given, changed))->fingerprint() == print) {
          found.push_back(text("with byte ", at, " changed the fingerprint is the same"));
        }
      } catch (const FormatError&) {
        --read;
      }
    }
    found.measured.push_back(text(read, " changed files read"));
  });
}

Violations law_missing_file(const DatasetCase& given) {
  return guarded([&](Violations& found) {
    const fs::path missing = given.folder / ("no_such_file" + given.sample.extension().string());
    try {
      opened(given, missing);
      found.push_back("a file that is not there was opened");
    } catch (const FormatError& error) {
      if (std::string(error.what()).find(missing.filename().string()) == std::string::npos) {
        found.push_back(text("the error does not name the file: ", error.what()));
      }
      found.measured.push_back(error.what());
    }
  });
}

Violations law_broken_files(const DatasetCase& given) {
  return guarded([&](Violations& found) {
    const std::string whole = bytes_of(given.sample);
    std::vector<std::string> broken = {"",
                                       std::string(1, '\0'),
                                       "\xff\xfe\xfa",
                                       std::string(100000, '"'),
                                       whole + std::string("\xc3"),
                                       whole + whole,
                                       "{[\",\n" + whole};
    for (size_t part = 1; part < 12; ++part) broken.push_back(whole.substr(0, whole.size() * part / 12));
    int64_t refused = 0;
    for (const std::string& bytes : broken) {
      try {
        const auto dataset = opened(given, beside(given, bytes));
        lines(*dataset);
      } catch (const FormatError&) {
        ++refused;
      } catch (const std::exception& error) {
        found.push_back(text("a broken file of ", bytes.size(), " bytes is no FormatError, but: ", error.what()));
      }
    }
    try {
      opened(given, given.folder);
      found.push_back("a folder was opened as a file");
    } catch (const FormatError&) {
    }
    found.measured.push_back(text(refused, " of ", broken.size(), " broken files refused"));
  });
}

Violations law_pictures(const DatasetCase& given) {
  return guarded([&](Violations& found) {
    const auto dataset = opened(given, given.sample);
    int64_t pictures = 0;
    for (int64_t i = 0; i < dataset->size(); ++i) {
      const torch::Tensor image = dataset->image(i);
      if (image.defined() != dataset->example(i).has_image) {
        found.push_back(
            text("example ", i, " has_image is ", dataset->example(i).has_image, ", its image is another thing"));
      }
      if (!image.defined()) continue;
      ++pictures;
      if (image.dim() != 3 || image.size(0) != 3 || image.size(1) != kPictures.height ||
          image.size(2) != kPictures.width || image.scalar_type() != torch::kFloat32) {
        found.push_back(text("picture ", i, " is ", image.dtype(), " ", image.sizes(), ", wanted float [3, 24, 32]"));
        continue;
      }
      if (!finite(image) || !same(image, dataset->image(i)))
        found.push_back(text("picture ", i, " is not the same twice"));
      const double least = image.min().item<double>(), most = image.max().item<double>();
      if (least < -0.5 / 0.2 - 1e-4 || most > 0.7 / 0.25 + 1e-4) {
        found.push_back(text("picture ", i, " is outside of (0..1 - mean) / deviation: ", least, " to ", most));
      }
    }
    found.measured.push_back(text(pictures, " pictures"));
  });
}

Violations law_choices(const DatasetCase& given) {
  return guarded([&](Violations& found) {
    const auto dataset = opened(given, given.sample);
    const auto choices = dataset->choices();
    found.measured.push_back(text(choices.size(), " choices"));
    if (choices.empty()) return;
    std::set<std::string> labels, texts;
    for (const Choice& choice : choices) {
      labels.insert(choice.label);
      texts.insert(choice.text);
    }
    if (labels.size() != choices.size() || texts.size() != choices.size()) found.push_back("two choices are the same");
    for (int64_t i = 0; i < dataset->size(); ++i) {
      if (texts.count(dataset->example(i).target) == 0) {
        found.push_back(text("the target of example ", i, " is none of the choices: ", dataset->example(i).target));
      }
    }
  });
}

Violations law_dataset_defaults(const DatasetCase& given) {
  return options_have_sound_defaults([&](Params& params) { given.dataset(params); });
}

Violations law_dataset_unknown(const DatasetCase& given) {
  return unknown_options_are_refused([&](Params& params) { given.dataset(params); });
}

}  // namespace

const std::vector<LawOf<DatasetCase>>& dataset_laws() {
  static const std::vector<LawOf<DatasetCase>> laws = {
      {"defaults", "it is made from an empty table; options have meanings and sound defaults",
       "a default that its own check() refuses, or p.get() without a meaning", law_dataset_defaults},
      {"unknown_option", "an option it does not know is refused by name, with the nearest there is",
       "the constructor reads all keys it is given, or calls ignore()", law_dataset_unknown},
      {"opens", "its sample opens; every example has a target and a place of its own",
       "a header is read as an example, or place() leaves the line out", law_opens},
      {"same_examples", "the same file gives the same examples, from four threads too",
       "example() draws at random, or keeps a position in the file", law_same_examples},
      {"fingerprint", "it is the sha256 of the bytes that decide the examples",
       "it is made of the file's name or time, or leaves a part of the file out", law_fingerprint},
      {"missing_file", "a missing file is a FormatError that names it", "the stream is never asked whether it opened",
       law_missing_file},
      {"broken_files", "a broken file is read or refused with a FormatError, at open()",
       "std::stoi and the like throw exceptions of their own; or a field is read without looking whether it is there",
       law_broken_files},
      {"pictures", "pictures are float [3, height, width] as the ImageSpec asks, the same each time",
       "channels are last, or mean and deviation are not applied", law_pictures},
      {"choices", "targets are among the choices, where there are some", "the text of a choice lacks the leading space",
       law_choices},
  };
  return laws;
}

}  // namespace peftlab::testing
