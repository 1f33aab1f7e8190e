#include "store/file_system.h"

#include <peftlab/error.h>

#include <fmt/format.h>

#include <sys/vfs.h>

#include <cstdlib>
#include <map>

namespace peftlab::store {

std::string network_file_system(int64_t type) {
  // From statfs(2) and the kernel's magic.h.
  static const std::map<int64_t, std::string> kKinds = {
      {0x6969, "NFS"},     {0xFF534D42, "CIFS"},   {0xFE534D42, "SMB"},    {0x517B, "SMB"},      {0x65735546, "FUSE"},
      {0x01021997, "9P"},  {0x0BD00BD0, "Lustre"}, {0x00C36400, "Ceph"},   {0x47504653, "GPFS"}, {0x5346414F, "AFS"},
      {0x6B414653, "AFS"}, {0x73757245, "Coda"},   {0x19830326, "BeeGFS"}, {0x7461636F, "OCFS2"}};
  const auto found = kKinds.find(type & 0xFFFFFFFF);
  return found == kKinds.end() ? "" : found->second;
}

void require_local(const std::filesystem::path& folder) {
  struct statfs found {};
  if (statfs(folder.c_str(), &found) != 0) return;  // opening it will say why
  const std::string kind = network_file_system(static_cast<int64_t>(found.f_type));
  const char* allowed = std::getenv("PEFTLAB_STORE_ON_NETWORK");
  if (kind.empty() || (allowed && std::string(allowed) == "1")) return;
  throw StoreError(
      fmt::format("{} lies on a network file system ({}), where several machines would damage the store: put "
                  "it on a local disk and bring stores together with `peftlab store merge`. Where one machine "
                  "alone ever uses it, PEFTLAB_STORE_ON_NETWORK=1 allows it",
                  folder.string(), kind));
}

}  // namespace peftlab::store
