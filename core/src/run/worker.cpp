#include "run/execute.h"
#include "support/interrupt.h"

#include <peftlab/error.h>

#include <c10/util/Exception.h>

#include <iostream>
#include <new>

namespace peftlab::run {
namespace {

struct Failure {
  std::string kind, text;
};

/// What LibTorch threw, without the stack it prints below.
std::string first_lines(const c10::Error& error) { return error.what_without_backtrace(); }

/// The reason a run's row is given.
Failure classify(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const TrainError& error) {
    return {"diverged", error.what()};
  } catch (const FormatError& error) {
    return {"bad input", error.what()};
  } catch (const ConfigError& error) {
    return {"bad configuration", error.what()};
  } catch (const PluginError& error) {
    return {"plugin", error.what()};
  } catch (const UnsupportedError& error) {
    return {"unsupported", error.what()};
  } catch (const std::bad_alloc&) {
    return {"out of memory", "the process could get no more memory"};
  } catch (const c10::OutOfMemoryError& error) {
    return {"out of memory", first_lines(error)};
  } catch (const c10::Error& error) {
    const std::string text = first_lines(error);
    return {text.find("can't allocate memory") != std::string::npos ? "out of memory" : "error", text};
  } catch (const std::exception& error) {
    return {"error", error.what()};
  } catch (...) {
    return {"error", "something was thrown that is no exception"};
  }
}

}  // namespace

int run_worker(const std::filesystem::path& folder, const std::string& uuid, const ExecuteOptions& options) {
  watch_signals();
  auto store = store::Store::open(folder, store::Mode::read_write);
  try {
    const registry::Registry registry(registry::Registry::default_folders());
    execute(store, uuid, registry, options);
    return 0;
  } catch (const Interrupted& stopped) {
    return stopped.exit_code();
  } catch (const StoreError&) {
    throw;  // nothing can be written about it there
  } catch (...) {
    const Failure failure = classify(std::current_exception());
    std::cerr << "run " << uuid << " failed (" << failure.kind << "): " << failure.text << "\n";
    store.fail_run(uuid, failure.kind, failure.text);
    return 1;
  }
}

}  // namespace peftlab::run
