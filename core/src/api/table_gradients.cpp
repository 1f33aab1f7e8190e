#include "api/table_gradients.h"

namespace peftlab {
namespace {
thread_local int living = 0;
}  // namespace

TableGradientsAsRows::TableGradientsAsRows() { ++living; }
TableGradientsAsRows::~TableGradientsAsRows() { --living; }
bool TableGradientsAsRows::is_on() { return living > 0; }

}  // namespace peftlab
