#include "serve/server.h"

#include "report/comparison.h"
#include "report/html.h"
#include "serve/live_page.h"
#include "store/store.h"

#include <peftlab/error.h>

#include <fmt/format.h>
#include <httplib.h>
#include <openssl/crypto.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace peftlab::serve {
namespace {

constexpr int kThreads = 24;
constexpr int kMostStreams = 12;                 ///< each holds a thread
constexpr std::chrono::seconds kStreamLife{60};  ///< then the browser listens again
constexpr std::chrono::milliseconds kBetweenLooks{500};
constexpr time_t kPatience = 5;  ///< seconds for a client to say or take what it has to

constexpr const char* kPlaces =
    "There are: /, /experiments/NAME, /experiments/NAME/report, /api/v1/experiments, /api/v1/experiments/NAME/runs, "
    "/api/v1/experiments/NAME/compare, /api/v1/runs/UUID/series/METRIC?after=STEP\n";

bool is_loopback(const std::string& address) {
  return address == "localhost" || address == "::1" || address.starts_with("127.");
}

bool same(const std::string& a, const std::string& b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

/// The value of `name` in a Cookie header; empty if it is not there.
std::string cookie(const httplib::Request& request, const std::string& name) {
  std::string all = "; " + request.get_header_value("Cookie");
  const auto at = all.find("; " + name + "=");
  if (at == std::string::npos) return "";
  const auto start = at + name.size() + 3;
  return all.substr(start, all.find(';', start) - start);
}

store::Rows rows_of(const std::vector<store::Progress>& runs) {
  store::Rows rows{{"run_uuid", "label", "role", "seed", "state", "step", "planned_steps", "loss", "heartbeat_ms"}, {}};
  const auto cell = [](const auto& value) { return value ? store::Cell(*value) : store::Cell(); };
  for (const store::Progress& run : runs) {
    rows.rows.push_back({run.uuid, run.label, run.role, run.seed, run.state, cell(run.step), cell(run.planned_steps),
                         cell(run.loss), cell(run.heartbeat_ms)});
  }
  return rows;
}

}  // namespace

class Server::Impl {
 public:
  explicit Impl(Options options) : options_(std::move(options)) {
    check();
    open();  // says so now if there is no store
    server_.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
    server_.set_read_timeout(kPatience, 0);
    server_.set_write_timeout(kPatience, 0);
    server_.set_keep_alive_timeout(kPatience);
    server_.set_payload_max_length(1);
    // Not SO_REUSEPORT, with which two servers share a port and each answers half.
    server_.set_socket_options([](socket_t socket) {
      const int yes = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    server_.set_pre_routing_handler([this](const auto& request, auto& response) { return admit(request, response); });
    server_.set_exception_handler(
        [](const auto&, auto& response, std::exception_ptr thrown) { fail(response, thrown); });
    server_.set_error_handler([](const auto&, auto& response) {
      if (response.status == 404 && response.body.empty()) response.set_content(kPlaces, "text/plain");
    });
    add_pages();
    add_interface();
    port_ = options_.port == 0 ? server_.bind_to_any_port(options_.bind) : options_.port;
    if (port_ <= 0 || (options_.port != 0 && !server_.bind_to_port(options_.bind, options_.port))) {
      throw ConfigError(
          fmt::format("cannot listen on {} port {}: it is taken, or no address of this machine; --port 0 "
                      "finds a free one",
                      options_.bind, options_.port));
    }
  }

  int port() const { return port_; }
  void run() { server_.listen_after_bind(); }
  void stop() {
    is_over_ = true;
    server_.stop();
  }

 private:
  using Request = httplib::Request;
  using Response = httplib::Response;

  void check() const {
    if (is_loopback(options_.bind) && options_.token.empty()) return;
    if (options_.token.empty()) {
      throw ConfigError(
          fmt::format("--bind {} lets other machines read the store: give a --token of at least {} characters",
                      options_.bind, kLeastToken));
    }
    if (options_.token.size() < kLeastToken ||
        !std::all_of(options_.token.begin(), options_.token.end(), [](unsigned char c) { return std::isalnum(c); })) {
      throw ConfigError(fmt::format("--token must have at least {} letters and digits, and nothing else", kLeastToken));
    }
  }

  store::Store open() const { return store::Store::open(options_.store, store::Mode::read_only); }

  bool knows_host(std::string host) const {
    const auto colon = host.rfind(':');
    const std::string port = fmt::format(":{}", port_);
    if (colon == std::string::npos || host.substr(colon) != port) return false;
    host.resize(colon);
    if (host == options_.bind || host == "[" + options_.bind + "]") return true;
    if (is_loopback(options_.bind)) return host == "localhost" || host == "127.0.0.1" || host == "[::1]";
    return !options_.token.empty() && options_.bind == "0.0.0.0";  // any of its names; the token guards it
  }

  httplib::Server::HandlerResponse admit(const Request& request, Response& response) {
    response.set_header("Content-Security-Policy", policy());
    response.set_header("X-Content-Type-Options", "nosniff");
    response.set_header("Referrer-Policy", "no-referrer");
    response.set_header("Cache-Control", "no-store");
    const auto refuse = [&](int status, const std::string& why) {
      response.status = status;
      response.set_content(why + "\n", "text/plain");
      return httplib::Server::HandlerResponse::Handled;
    };
    if (request.method != "GET" && request.method != "HEAD") {
      response.set_header("Allow", "GET, HEAD");
      return refuse(405, "this server only tells; it takes GET and HEAD");
    }
    if (!knows_host(request.get_header_value("Host"))) return refuse(403, "this is not the address that was asked for");
    if (options_.token.empty()) return httplib::Server::HandlerResponse::Unhandled;
    if (same(request.get_param_value("token"), options_.token)) {
      response.set_header("Set-Cookie", "peftlab=" + options_.token + "; HttpOnly; SameSite=Strict; Path=/");
      return httplib::Server::HandlerResponse::Unhandled;
    }
    if (same(request.get_header_value("Authorization"), "Bearer " + options_.token) ||
        same(cookie(request, "peftlab"), options_.token)) {
      return httplib::Server::HandlerResponse::Unhandled;
    }
    return refuse(401, "a token is needed: `Authorization: Bearer TOKEN`, or ?token=TOKEN once");
  }

  static void fail(Response& response, const std::exception_ptr& thrown) {
    response.status = 500;
    std::string why = "something went wrong";
    try {
      std::rethrow_exception(thrown);
    } catch (const ConfigError& error) {  // no such experiment, no such run
      response.status = 404;
      why = error.what();
    } catch (const std::exception& error) {
      why = error.what();
    } catch (...) {
    }
    response.set_content(why + "\n", "text/plain");
  }

  void add_pages() {
    const auto html = [](Response& response, const std::string& text) {
      response.set_content(text, "text/html; charset=utf-8");
    };
    server_.Get("/", [=, this](const Request&, Response& r) { html(r, experiments_page(open())); });
    server_.Get("/experiments/([^/]+)",
                [=, this](const Request& q, Response& r) { html(r, live_page(open(), q.matches[1])); });
    server_.Get("/experiments/([^/]+)/live", [=, this](const Request& q, Response& r) {
      const auto store = open();
      html(r, live_part(store, store.resolve_experiment(q.matches[1])));
    });
    server_.Get("/experiments/([^/]+)/report", [=, this](const Request& q, Response& r) {
      r.headers.erase("Content-Security-Policy");  // the page brings its own, which is as strict
      html(r, report::render_html(report::page(open(), q.matches[1])));
    });
    server_.Get("/events", [this](const Request& q, Response& r) { stream(q.get_param_value("experiment"), r); });
  }

  void add_interface() {
    const auto json = [](Response& response, const std::string& text) {
      response.set_content(text, "application/json");
    };
    server_.Get("/api/v1/experiments", [=, this](const Request&, Response& r) {
      store::Rows rows{{"name", "primary_metric", "baseline", "n_runs", "n_finished"}, {}};
      for (const auto& row : open().experiments()) {
        rows.rows.push_back({row.name, row.primary_metric, row.baseline, row.n_runs, row.n_finished});
      }
      json(r, report::render_table(rows, report::Format::json));
    });
    server_.Get("/api/v1/experiments/([^/]+)/runs", [=, this](const Request& q, Response& r) {
      const auto store = open();
      json(r,
           report::render_table(rows_of(store.progress(store.resolve_experiment(q.matches[1]))), report::Format::json));
    });
    server_.Get("/api/v1/experiments/([^/]+)/compare", [=, this](const Request& q, Response& r) {
      json(r, report::render_json(report::comparison(open(), q.matches[1])));
    });
    server_.Get("/api/v1/runs/([0-9a-f-]+)/series/(.+)", [=, this](const Request& q, Response& r) {
      const auto store = open();
      const std::string after = q.get_param_value("after");
      if (after.size() > 18 || after.find_first_not_of("0123456789") != std::string::npos) {
        r.status = 400;
        return r.set_content("`after` must be a step\n", "text/plain");
      }
      const int64_t first = after.empty() ? -1 : std::stoll(after);
      store::Rows rows{{"step", "value"}, {}};
      for (const auto& point : store.series(store.run(q.matches[1]).run.uuid, q.matches[2])) {
        if (point.step > first) rows.rows.push_back({point.step, point.value});
      }
      json(r, report::render_table(rows, report::Format::json));
    });
  }

  /// Server-sent events: "change" whenever the experiment's state is another.
  void stream(const std::string& asked, Response& response) {
    const std::string experiment = open().resolve_experiment(asked);
    if (++streams_ > kMostStreams) {
      --streams_;
      response.status = 503;
      response.set_header("Retry-After", "5");
      return response.set_content("too many pages follow already\n", "text/plain");
    }
    const auto end = std::chrono::steady_clock::now() + kStreamLife;
    auto told = std::make_shared<std::string>();
    response.set_chunked_content_provider(
        "text/event-stream",
        [this, experiment, end, told](size_t, httplib::DataSink& sink) {
          if (is_over_ || std::chrono::steady_clock::now() > end) {
            sink.done();
            return true;
          }
          std::string now = *told;
          try {
            now = state_of(open(), experiment);
          } catch (const Error&) {
            // Busy for a moment: the next look tells.
          }
          const std::string event = now == *told ? ": still there\n\n" : "event: change\ndata: " + now + "\n\n";
          *told = now;
          if (!sink.write(event.data(), event.size())) return false;
          std::this_thread::sleep_for(kBetweenLooks);
          return true;
        },
        [this](bool) { --streams_; });
  }

  const Options options_;
  httplib::Server server_;
  int port_ = 0;
  std::atomic<int> streams_ = 0;
  std::atomic<bool> is_over_ = false;
};

Server::Server(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Server::~Server() = default;
int Server::port() const { return impl_->port(); }
void Server::run() { impl_->run(); }
void Server::stop() { impl_->stop(); }

}  // namespace peftlab::serve
