#include "ops/fetch/session.h"

#include <unistd.h>

#include <utility>

#include "ops/driver/log.h"
#include "ops/fetch/driver_cluster.h"
#include "ops/fetch/driver_errors.h"
#include "ops/fetch/retired_sessions.h"
#include "ops/fetch/strings.h"

namespace tfcass {
namespace {

uint64_t Microseconds(double seconds) { return static_cast<uint64_t>(seconds * 1e6); }

// The setting that most likely explains why a session could not be opened.
std::string HintFor(StatusCode code, CassError error, const ClusterConfig& config) {
  switch (error) {
    case CASS_ERROR_SERVER_BAD_CREDENTIALS:
      if (config.username.empty()) return "the server wants a password: give Cluster(auth=PasswordAuth(...))";
      return StrCat("check the user name '", config.username, "' and the password it is given with");
    case CASS_ERROR_SSL_IDENTITY_MISMATCH:
      return "the server's certificate does not name the contact point: connect by a name or address that it lists";
    case CASS_ERROR_SSL_INVALID_PEER_CERT:
    case CASS_ERROR_SSL_NO_PEER_CERT:
      if (config.tls_ca.empty()) return "give the authority that signed the server's certificate: Tls(ca=...)";
      return StrCat("check that Tls(ca=...) is the authority that signed the server's certificate; it is '",
                    config.tls_ca, "'");
    case CASS_ERROR_SSL_PROTOCOL_ERROR:
    case CASS_ERROR_SSL_CLOSED:
      return "check that this port of the server speaks TLS, and whether it wants a client certificate";
    default:
      break;
  }
  if (code != StatusCode::kUnavailable && code != StatusCode::kDeadlineExceeded) return "";
  std::string hint = "check that the nodes are up and reachable at this address and port";
  if (!config.local_dc.empty()) hint += StrCat(", and that a datacenter is called '", config.local_dc, "' (local_dc)");
  if (!config.tls) hint += ", and whether the server wants TLS";
  return hint;
}

// What the driver logged and its message does not say already.
std::string News(const std::string& message, LogCapture* log) {
  const std::string core = message.substr(0, message.rfind(" ["));  // Without the error's name.
  std::string news;
  for (const std::string& line : log->Take()) {
    if (line.find(core) == std::string::npos && news.find(line) == std::string::npos) news += " (" + line + ")";
  }
  return news;
}

Status ConnectFailed(const ClusterConfig& config, CassError error, const std::string& message, LogCapture* log) {
  const StatusCode code = CodeOf(error);
  const std::string hint = HintFor(code, error, config);
  return {code, StrCat("cannot connect to Cassandra at ", config.Describe(), ": ", message, News(message, log),
                       hint.empty() ? "" : "; ", hint)};
}

}  // namespace

Status Session::Connect(std::shared_ptr<const DriverApi> api, const ClusterConfig& config, int64_t io_threads,
                        std::shared_ptr<Session>* session) {
  LogCapture log;
  const DriverApi& table = *api;
  ClusterPtr cluster = Own(table, table.cass_cluster_new());
  const Status configured = ConfigureCluster(table, config, io_threads, cluster.get());
  if (!configured.ok()) {
    log.Take();  // It says the same as the status, with less.
    return configured;
  }
  const auto hosts = HostRegistry::Create();
  hosts->ListenTo(table, cluster.get());
  CassSession* raw = table.cass_session_new();
  FuturePtr connecting = Own(table, table.cass_session_connect(raw, cluster.get()));
  if (!table.cass_future_wait_timed(connecting.get(), Microseconds(config.connect_timeout_s))) {
    RetireSession(std::move(api), raw, std::move(connecting));
    return ConnectFailed(config, CASS_ERROR_LIB_UNABLE_TO_CONNECT,
                         StrCat("no answer in ", config.connect_timeout_s, " s (connect_timeout_s)"), &log);
  }
  const CassError error = table.cass_future_error_code(connecting.get());
  if (error != CASS_OK) {
    Status failed = ConnectFailed(config, error, DriverMessage(table, connecting.get()), &log);
    RetireSession(std::move(api), raw, nullptr);
    return failed;
  }
  session->reset(new Session(std::move(api), raw, config, hosts));
  return OkStatus();
}

Session::Session(std::shared_ptr<const DriverApi> api, CassSession* session, const ClusterConfig& config,
                 std::shared_ptr<HostRegistry> hosts)
    : api_(std::move(api)),
      session_(session),
      description_(config.Describe()),
      prepare_timeout_s_(config.connect_timeout_s),
      process_(getpid()) {
  const RingSource::Settings settings{config.port, config.local_dc, config.connect_timeout_s};
  rings_ = std::make_unique<RingSource>(api_, session_, settings, std::move(hosts));
}

Session::~Session() {
  if (getpid() == process_) {
    prepared_.clear();
    reads_.clear();
    rings_.reset();
    RetireSession(api_, session_, nullptr);
    return;
  }
  // In a forked child: neither the session nor its statements and questions may be touched, so all are leaked. Without
  // the locks, which a thread of the parent may have held at the fork.
  rings_.release();
  new decltype(prepared_)(std::move(prepared_));
  new decltype(reads_)(std::move(reads_));
}

std::shared_ptr<const Ring> Session::ring(const std::string& keyspace, std::string* why, Clock* clock) {
  const Status mine = CheckProcess();
  if (mine.ok()) return rings_->Get(keyspace, why, clock);
  if (why != nullptr) *why = mine.message();
  return nullptr;
}

void Session::RefreshRing() {
  if (CheckProcess().ok()) rings_->Refresh();
}

Status Session::CheckProcess() const {
  if (getpid() == process_) return OkStatus();
  return FailedPrecondition(StrCat("the connection to Cassandra at ", description_, " belongs to process ", process_,
                                   ", which this one was forked from; make the dataset in the process that reads it"));
}

Status Session::Prepare(const QuerySpec& query, std::shared_ptr<const CassPrepared>* prepared) {
  TFCASS_RETURN_IF_ERROR(CheckProcess());
  TFCASS_RETURN_IF_ERROR(query.Validate());
  TFCASS_RETURN_IF_ERROR(PrepareCql(query, query.Cql(), prepared));
  const CassDataType* key = api_->cass_prepared_parameter_data_type(prepared->get(), 0);
  if (key == nullptr) {
    return Internal(StrCat("cannot prepare the reads of ", query.table, " at ", description_,
                           ": the server says that the statement has no parameters"));
  }
  const CassValueType key_type = api_->cass_data_type_type(key);
  if (!Accepts(CellType::kUuid, key_type)) {
    return FailedPrecondition(StrCat("key column ", query.key_column, " of ", query.table, " is ", CqlName(key_type),
                                     ", not ", CqlTypesOf(CellType::kUuid),
                                     "; name a table whose primary key is a uuid"));
  }
  return OkStatus();
}

Status Session::PrepareReads(const QuerySpec& query, bool grouped, std::shared_ptr<ReadStatements>* reads) {
  std::shared_ptr<const CassPrepared> single, several;
  TFCASS_RETURN_IF_ERROR(Prepare(query, &single));
  const std::string cql = query.GroupedCql();
  if (grouped && api_->cass_collection_new != nullptr && api_->cass_collection_free != nullptr &&
      api_->cass_collection_append_uuid != nullptr && api_->cass_statement_bind_collection != nullptr) {
    TFCASS_RETURN_IF_ERROR(PrepareCql(query, cql, &several));
  }
  Reads latest{single, std::make_shared<ReadStatements>(*api_, single, std::move(several))};
  MutexLock lock(&mu_);
  Reads& known = reads_[grouped ? cql : query.Cql()];
  if (known.single != single) std::swap(known, latest);  // The one before is let go after the lock.
  *reads = known.reads;
  return OkStatus();
}

Status Session::PrepareCql(const QuerySpec& query, const std::string& cql,
                           std::shared_ptr<const CassPrepared>* prepared) {
  std::vector<CellType> types;
  for (const ColumnSpec& column : query.columns) types.push_back(column.type);
  {
    MutexLock lock(&mu_);
    auto found = prepared_.find(cql);
    if (found != prepared_.end() && found->second.types == types) {
      *prepared = found->second.prepared;
      return OkStatus();
    }
  }
  // Two threads may prepare the same text at once: the server gives both the same statement.
  FuturePtr preparing = Own(*api_, api_->cass_session_prepare_n(session_, cql.data(), cql.size()));
  if (!api_->cass_future_wait_timed(preparing.get(), Microseconds(prepare_timeout_s_))) {
    Doubt();
    return DeadlineExceeded(StrCat("cannot prepare the reads of ", query.table, ": Cassandra at ", description_,
                                   " gave no answer in ", prepare_timeout_s_, " s (connect_timeout_s)"));
  }
  const CassError error = api_->cass_future_error_code(preparing.get());
  if (error != CASS_OK) {
    Doubt();
    return {CodeOf(error), StrCat("cannot prepare the reads of ", query.table, " at ", description_, ": ",
                                  DriverMessage(*api_, preparing.get()), " (", cql, "); check the names, and that ",
                                  query.key_column, " is the whole primary key")};
  }
  std::shared_ptr<const CassPrepared> fresh = Own(*api_, api_->cass_future_get_prepared(preparing.get()));
  *prepared = fresh;
  Statement latest{std::move(types), std::move(fresh)};
  MutexLock lock(&mu_);
  std::swap(prepared_[cql], latest);  // The one before is let go after the lock.
  return OkStatus();
}

FuturePtr Session::CheckStatement(const QuerySpec& query) {
  const std::string cql = query.Cql();
  return Own(*api_, api_->cass_session_prepare_n(session_, cql.data(), cql.size()));
}

FuturePtr Session::Execute(const CassStatement* statement) {
  return Own(*api_, api_->cass_session_execute(session_, statement));
}

}  // namespace tfcass
