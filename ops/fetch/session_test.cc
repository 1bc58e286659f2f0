#include "ops/fetch/session.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "ops/fetch/retired_sessions.h"
#include "ops/fetch/secrets.h"
#include "ops/testing/fake_driver.h"

namespace tfcass {
namespace {

ClusterConfig Config() {
  ClusterConfig config;
  config.contact_points = {"10.0.0.1", "10.0.0.2"};
  config.connect_timeout_s = 2.5;
  return config;
}

bool Contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

class SessionTest : public testing::Test {
 protected:
  Status Connect(const ClusterConfig& config) { return Session::Connect(driver_.api(), config, 2, &session_); }

  FakeDriver driver_;
  std::shared_ptr<Session> session_;
  const QuerySpec query_{"ks.data", "patch_id", {{"label", CellType::kInt32}}};
};

TEST_F(SessionTest, HandsItsSettingsToTheDriver) {
  PutSecret("session_test", "s3cret");
  ClusterConfig config = Config();
  config.port = 9142;
  config.local_dc = "dc1";
  config.username = "reader";
  config.password_ref = "process:session_test";
  ASSERT_TRUE(Connect(config).ok());
  const FakeCluster cluster = driver_.last_cluster();
  EXPECT_EQ(cluster.contact_points, "10.0.0.1,10.0.0.2");
  EXPECT_EQ(cluster.port, 9142);
  EXPECT_EQ(cluster.local_dc, "dc1");
  EXPECT_EQ(cluster.username, "reader");
  EXPECT_EQ(cluster.password, "s3cret");
  EXPECT_EQ(cluster.io_threads, 2u);
  EXPECT_EQ(cluster.connect_timeout_ms, 2500u);
  EXPECT_TRUE(cluster.token_aware);
  EXPECT_FALSE(cluster.driver_retries);
  EXPECT_LE(cluster.first_reconnect_ms, 200u);  // Well within the deadline of a row, and of the driver's own 2 s.
  EXPECT_LE(cluster.longest_reconnect_ms, 5000u);
  EXPECT_GT(cluster.first_reconnect_ms, 0u);
  EXPECT_FALSE(cluster.tls);
}

std::string PemFile(const std::string& name) {
  const std::string path = testing::TempDir() + "/" + name;
  std::ofstream(path) << name;
  return path;
}

TEST_F(SessionTest, TlsVerifiesTheIdentityThatTheContactPointsGoBy) {
  ClusterConfig config = Config();
  config.tls = true;
  config.tls_ca = PemFile("ca");
  config.tls_cert = PemFile("cert");
  config.tls_key = PemFile("key");
  ASSERT_TRUE(Connect(config).ok());
  EXPECT_TRUE(driver_.last_cluster().tls);
  EXPECT_EQ(driver_.last_cluster().trusted, "ca");
  EXPECT_EQ(driver_.last_cluster().certificate, "cert");
  EXPECT_EQ(driver_.last_cluster().private_key, "key");
  EXPECT_EQ(driver_.last_cluster().verify_flags, CASS_SSL_VERIFY_PEER_CERT | CASS_SSL_VERIFY_PEER_IDENTITY);
  EXPECT_FALSE(driver_.last_cluster().host_names);

  config.contact_points = {"10.0.0.1", "db.example.org"};
  ASSERT_TRUE(Connect(config).ok());
  EXPECT_EQ(driver_.last_cluster().verify_flags, CASS_SSL_VERIFY_PEER_CERT | CASS_SSL_VERIFY_PEER_IDENTITY_DNS);
  EXPECT_TRUE(driver_.last_cluster().host_names);

  config.tls_verify_hostname = false;
  ASSERT_TRUE(Connect(config).ok());
  EXPECT_EQ(driver_.last_cluster().verify_flags, CASS_SSL_VERIFY_PEER_CERT);
}

TEST_F(SessionTest, AFileThatIsNoCertificateIsNamed) {
  ClusterConfig config = Config();
  config.tls = true;
  config.tls_ca = "/nowhere/ca.pem";
  Status status = Connect(config);
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Contains(status.message(), "tls_ca=/nowhere/ca.pem cannot be read")) << status.message();

  config.tls_ca = PemFile("ca");
  driver_.refuse_pem = true;
  status = Connect(config);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "cluster: tls_ca=" + config.tls_ca + " is not a certificate in PEM form");
}

struct ConnectError {
  CassError error;
  StatusCode code;
  const char* advice;
};

TEST_F(SessionTest, ConnectErrorsSayWhereAndWhatToDoAndNoSecret) {
  PutSecret("session_test", "s3cret");
  ClusterConfig config = Config();
  config.username = "reader";
  config.password_ref = "process:session_test";
  config.tls = true;
  config.tls_ca = PemFile("ca");
  config.local_dc = "dc7";
  for (const auto& [error, code, advice] :
       {ConnectError{CASS_ERROR_SERVER_BAD_CREDENTIALS, StatusCode::kUnauthenticated,
                     "check the user name 'reader' and the password"},
        ConnectError{CASS_ERROR_SSL_INVALID_PEER_CERT, StatusCode::kUnauthenticated,
                     "check that Tls(ca=...) is the authority"},
        ConnectError{CASS_ERROR_SSL_IDENTITY_MISMATCH, StatusCode::kUnauthenticated,
                     "certificate does not name the contact point"},
        ConnectError{CASS_ERROR_SSL_PROTOCOL_ERROR, StatusCode::kUnavailable,
                     "check that this port of the server speaks TLS"},
        ConnectError{CASS_ERROR_LIB_NO_HOSTS_AVAILABLE, StatusCode::kUnavailable,
                     "that a datacenter is called 'dc7' (local_dc)"}}) {
    driver_.connect_answer = FakeAnswer::Error(error, "the driver's words");
    const Status status = Connect(config);
    EXPECT_EQ(status.code(), code) << status.message();
    EXPECT_TRUE(
        Contains(status.message(), "cannot connect to Cassandra at 10.0.0.1,10.0.0.2 port 9042: the driver's words"))
        << status.message();
    EXPECT_TRUE(Contains(status.message(), advice)) << status.message();
    EXPECT_FALSE(Contains(status.message(), "s3cret")) << status.message();
  }
  EXPECT_EQ(driver_.sessions, 0);
}

TEST_F(SessionTest, AConnectThatDoesNotEndIsGivenUp) {
  driver_.connects = false;
  const Status status = Connect(Config());
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_TRUE(Contains(status.message(), "no answer in 2.5 s (connect_timeout_s)")) << status.message();
  EXPECT_EQ(FreeClosedSessions(), 1u);  // It still connects: freeing it now would block.
  EXPECT_EQ(driver_.sessions, 1);
}

TEST_F(SessionTest, PreparesOnce) {
  ASSERT_TRUE(Connect(Config()).ok());
  std::shared_ptr<const CassPrepared> first, second;
  ASSERT_TRUE(session_->Prepare(query_, &first).ok());
  ASSERT_TRUE(session_->Prepare(query_, &second).ok());
  EXPECT_EQ(first, second);
  EXPECT_EQ(driver_.prepare_calls, 1);
  EXPECT_EQ(driver_.last_cql, R"(SELECT "patch_id", "label" FROM "ks"."data" WHERE "patch_id" = ?)");
}

TEST_F(SessionTest, PreparesAnewWhenOtherTypesAreExpected) {
  ASSERT_TRUE(Connect(Config()).ok());
  QuerySpec changed = query_;
  changed.columns[0].type = CellType::kBytes;
  std::shared_ptr<const CassPrepared> prepared;
  for (const QuerySpec& query : {query_, changed, query_}) ASSERT_TRUE(session_->Prepare(query, &prepared).ok());
  EXPECT_EQ(driver_.prepare_calls, 3);
}

TEST_F(SessionTest, PrepareErrorsNameTheTable) {
  ASSERT_TRUE(Connect(Config()).ok());
  std::shared_ptr<const CassPrepared> prepared;
  driver_.prepare_answer = FakeAnswer::Error(CASS_ERROR_SERVER_INVALID_QUERY, "table data does not exist");
  Status status = session_->Prepare(query_, &prepared);
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Contains(status.message(),
                       "cannot prepare the reads of ks.data at 10.0.0.1,10.0.0.2 port 9042: table data does not exist"))
      << status.message();

  driver_.prepares = false;
  status = session_->Prepare(query_, &prepared);
  EXPECT_EQ(status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(Contains(status.message(), "ks.data")) << status.message();
  EXPECT_TRUE(session_->doubtful());
}

TEST_F(SessionTest, RefusesAKeyColumnThatIsNoUuid) {
  ASSERT_TRUE(Connect(Config()).ok());
  driver_.key_type = CASS_VALUE_TYPE_INT;
  std::shared_ptr<const CassPrepared> prepared;
  const Status status = session_->Prepare(query_, &prepared);
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(),
            "key column patch_id of ks.data is int, not uuid or timeuuid; name a table whose primary key is a uuid");
}

TEST_F(SessionTest, AForkedChildNeitherUsesNorClosesIt) {
  ASSERT_TRUE(Connect(Config()).ok());
  const pid_t child = fork();
  if (child == 0) {
    std::shared_ptr<const CassPrepared> prepared;
    const bool refused = session_->Prepare(query_, &prepared).code() == StatusCode::kFailedPrecondition;
    session_.reset();
    _exit(refused && driver_.prepare_calls == 0 && driver_.close_calls == 0 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(session_->CheckProcess().ok());
}

}  // namespace
}  // namespace tfcass
