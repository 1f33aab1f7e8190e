#!/usr/bin/env bash
# Each law, broken on purpose in the method that `plugins new` writes, is reported as that law; a plugin that crashes,
# exits or hangs while a law is tried is a broken law, and the next law is tried.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh" "$1"

peftlab plugins new outer
cat >outer/CMakeLists.txt <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(broken CXX)
find_package(peftlab REQUIRED)
add_library(headers OBJECT headers.cpp)
target_link_libraries(headers PRIVATE peftlab::api)
set_target_properties(headers PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden
  VISIBILITY_INLINES_HIDDEN ON CXX_EXTENSIONS OFF)
target_precompile_headers(headers PRIVATE <torch/nn/module.h> <torch/types.h> <peftlab/method.h>)
file(GLOB sources law_*.cpp)
foreach(source IN LISTS sources)
  get_filename_component(name "${source}" NAME_WE)
  peftlab_plugin(${name} "${source}")
  target_precompile_headers(${name} REUSE_FROM headers)
endforeach()
CMAKE
echo >outer/headers.cpp

# broken LAW SED [CHECK_OPTION...]: outer with one change, which must be reported as LAW.
declare -A options
broken() {
  local law=$1 change=$2
  shift 2
  sed -E "$change" outer/outer.cpp >"outer/law_$law.cpp"
  cmp -s outer/outer.cpp "outer/law_$law.cpp" && fail "the change for law $law changes nothing"
  options[$law]=$*
}

update='along \* u\)'
broken 1 's/(p\.check\(!targets_)/p.get<int64_t>("size", 1, ""); \1/'
broken 2 's/(p\.check\(!targets_)/p.ignore({"targetsx"}); \1/'
broken 3 's/(starts_at_base\(\) const override \{ return) true/\1 false/'
broken 4 's/(u = register_parameter\("u".*)/register_parameter("idle", torch::zeros({3}));\n    \1/'
broken 5 "s/$update/(2 * (along * u).detach() - along * u))/"
broken 6 's/(const auto& \[name, tensor\] : tensors\(\)\) \{)/\1 if (name.ends_with(".u")) continue;/'
broken 7 's/pair->u\.zero_\(\);.*//'
broken 8 's/torch::randn\(\{site\.in\}\)/torch::full({site.in}, 0.1 * static_cast<double>(++drawn % 7))/; s/^struct Pair/inline int drawn = 0;\nstruct Pair/'
broken 9 "s/(u = register_parameter\(\"u\".*)/s = register_parameter(\"s\", torch::ones({1}));\n    \1/; s/torch::Tensor v, u;/torch::Tensor v, u, s;/; s/$update/along * u * s)/" --parameters 96
broken 10 "s/$update/along * u - (along * u).mean(0))/"
broken 11 "s/$update/along * u * (x.size(0) > 3 ? 1.0 : 0.5))/"
broken 12 "s/$update/(0.5 * along + 0.5 * along.detach()) * u)/"
broken 13 's/(bool starts_at_base)/void weigh(double w) override { const torch::NoGradGuard no; for (auto\& p : pairs_) p.second->u.mul_(0.5 * w); }\n  \1/'
broken 14 "s/$update/along * u * (1.0 + 1e-3 * (++calls % 3)))/; s/torch::Tensor v, u;/torch::Tensor v, u;\n  mutable int calls = 0;/"
broken 15 's/(site->add_to_weight\(torch::outer\(pair->u, pair->v\)) *\)/\1 + 0.01 * torch::randn({site->out, site->in}))/' --rank 1
broken 16 's/(for \(Linear\* site : model\.linear)/throw UnsupportedError("it takes no model");\n    \1/; s/#include <cmath>/#include <cmath>\n#include <peftlab\/error.h>/'
broken 17 's/(for \(Linear\* site : model\.linear)/std::setlocale(LC_ALL, "C.UTF-8");\n    \1/; s/#include <cmath>/#include <cmath>\n#include <clocale>/'
# A crash, an exit, and no end: while law 7 calls merge().
merge='s/(void merge\(Model&\) override \{)'
broken 107 "$merge/\1 std::raise(SIGSEGV);/; s/#include <cmath>/#include <cmath>\n#include <csignal>/"
broken 207 "$merge/\1 std::_Exit(0);/; s/#include <cmath>/#include <cmath>\n#include <cstdlib>/"
broken 307 "$merge/\1 while (true) usleep(1000);/; s/#include <cmath>/#include <cmath>\n#include <unistd.h>/" --seconds 2

{ cmake -S outer -B build -DCMAKE_PREFIX_PATH="$installed" $(command -v ccache >/dev/null && echo -DCMAKE_CXX_COMPILER_LAUNCHER=ccache) &&
  CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime cmake --build build --parallel 2; } >log 2>&1 || {
  tail -50 log
  fail "the broken plugins do not build"
}
for law in "${!options[@]}"; do
  code=0
  # shellcheck disable=SC2086
  peftlab plugins check "build/law_$law.so" --format csv ${options[$law]} >report 2>errors || code=$?
  [ $code -eq 4 ] || fail "law $law, broken, ends with exit code $code: $(cat errors)"
  awk -F, -v law=$((law % 100)) '$2 == law && $4 == "broken" { found = 1 } END { exit !found }' report ||
    fail "law $law, broken, is not reported: $(grep ,broken, report | cut -d, -f1-4 | sort -u)"
  case $law in
    107) grep -q 'it ends the process: signal 11 (Segmentation fault)' report || fail "the crash is not told: $(grep broken report)" ;;
    207) grep -q 'it ends the process: exit code 0' report || fail "the exit is not told: $(grep broken report)" ;;
    307) grep -q 'it ends the process: no end within 2 s' report || fail "the hang is not told: $(grep broken report)" ;;
  esac
  echo "law $((law % 100)), broken on purpose: reported $(awk -F, '$4 == "broken" { print $2 }' report | sort -nu | tr '\n' ' ')"
  grep -q ',8,seeds,holds,' report || [ $((law % 100)) -ne 7 ] || fail "after law 7 the others are not tried"
done
