#include <peftlab/sample.h>

#include <peftlab/error.h>

#include <fstream>

namespace peftlab {

std::filesystem::path sample_file(const std::filesystem::path& path, std::string_view text) {
  std::ofstream stream(path, std::ios::binary);
  stream << text;
  stream.flush();
  if (!stream) throw FormatError(path.string() + ": the sample cannot be written");
  return path;
}

}  // namespace peftlab
