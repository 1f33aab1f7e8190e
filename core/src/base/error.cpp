#include <peftlab/error.h>

namespace peftlab {

// Out of line, so that each type has one home and is caught by its type across libraries.
Error::~Error() = default;
ConfigError::~ConfigError() = default;
FormatError::~FormatError() = default;
PluginError::~PluginError() = default;
StoreError::~StoreError() = default;
TrainError::~TrainError() = default;
UnsupportedError::~UnsupportedError() = default;

}  // namespace peftlab
