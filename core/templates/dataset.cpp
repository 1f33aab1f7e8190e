/// %CLASS%: lines of a prompt, a tab and a target.
///
///     >34=<tab>4
///
/// Lines that are empty are left out. This is a place to start from: say here what a file of your data set looks like.

#include <peftlab/dataset.h>
#include <peftlab/error.h>
#include <peftlab/plugin.h>
#include <peftlab/sample.h>

#include <openssl/evp.h>

#include <fstream>
#include <iterator>
#include <sstream>

namespace peftlab {
namespace {

/// In hexadecimal.
std::string sha256(const std::string& bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  EVP_Digest(bytes.data(), bytes.size(), digest, &length, EVP_sha256(), nullptr);
  std::string text;
  for (unsigned int i = 0; i < length; ++i) {
    text += "0123456789abcdef"[digest[i] >> 4];
    text += "0123456789abcdef"[digest[i] & 15];
  }
  return text;
}

class %CLASS% final : public Dataset {
 public:
  explicit %CLASS%(Params& p)
      : separator_(p.get("separator", "\t", "what stands between prompt and target")) {
    p.check(!separator_.empty(), "separator", "must not be empty");
  }

  void open(const std::filesystem::path& file, const std::optional<ImageSpec>&) override {
    if (!std::filesystem::is_regular_file(file)) throw FormatError(file.string() + ": there is no such file");
    std::ifstream stream(file, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
    fingerprint_ = sha256(bytes);
    std::istringstream lines(bytes);
    std::string line;
    for (int64_t number = 1; std::getline(lines, line); ++number) {
      if (line.empty()) continue;
      const std::string place = file.filename().string() + ":" + std::to_string(number);
      const size_t at = line.find(separator_);
      if (at == std::string::npos || at + separator_.size() == line.size()) {
        throw FormatError(place + ": wanted a prompt, the separator and a target, found \"" + line.substr(0, 60) + "\"");
      }
      rows_.push_back({{.prompt = line.substr(0, at), .target = line.substr(at + separator_.size())}, place});
    }
    if (rows_.empty()) throw FormatError(file.string() + " has no examples");
  }

  int64_t size() const override { return static_cast<int64_t>(rows_.size()); }
  Example example(int64_t index) const override { return rows_.at(index).example; }
  std::string place(int64_t index) const override { return rows_.at(index).place; }
  std::string fingerprint() const override { return fingerprint_; }

  static std::filesystem::path write_sample(const std::filesystem::path& folder) {
    return sample_file(folder / "sample.tsv", ">34=\t4\n>51=\t5\n\n>22=\t2\n");
  }

 private:
  struct Row {
    Example example;
    std::string place;
  };

  std::string separator_, fingerprint_;
  std::vector<Row> rows_;
};

}  // namespace

PEFTLAB_PLUGIN(Dataset, %CLASS%, "%NAME%", "lines of a prompt, a tab and a target", "no source yet", "")

}  // namespace peftlab
