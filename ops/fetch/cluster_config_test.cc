#include "ops/fetch/cluster_config.h"

#include <gtest/gtest.h>

namespace tfcass {
namespace {

TEST(ClusterConfigTest, ParsesEveryField) {
  ClusterConfig config;
  const Status status = ClusterConfig::Parse(
      "connect_timeout_s=2.5\ncontact_points=10.0.0.1%2Cdb.example.org\ndriver_path=%2Fopt%2Flibcassandra.so\nlocal_dc="
      "dc1\n"
      "password_ref=env%3ACASS_PW\nport=9142\ntls=1\ntls_ca=ca.pem\ntls_cert=me.pem\ntls_key=me.key\ntls_verify_"
      "hostname=0\n"
      "username=reader\n",
      &config);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(config.contact_points, (std::vector<std::string>{"10.0.0.1", "db.example.org"}));
  EXPECT_EQ(config.port, 9142);
  EXPECT_EQ(config.local_dc, "dc1");
  EXPECT_EQ(config.username, "reader");
  EXPECT_EQ(config.password_ref, "env:CASS_PW");
  EXPECT_TRUE(config.tls);
  EXPECT_EQ(config.tls_ca, "ca.pem");
  EXPECT_EQ(config.tls_cert, "me.pem");
  EXPECT_EQ(config.tls_key, "me.key");
  EXPECT_FALSE(config.tls_verify_hostname);
  EXPECT_EQ(config.connect_timeout_s, 2.5);
  EXPECT_EQ(config.driver_path, "/opt/libcassandra.so");
  EXPECT_EQ(config.Describe(), "10.0.0.1,db.example.org port 9142");
}

struct BadConfig {
  const char* text;
  const char* message;
};

TEST(ClusterConfigTest, RefusesBadFieldsByNameAndValue) {
  const BadConfig bad_configs[] = {
      {"", "cluster: contact_points is empty; name at least one node"},
      {"contact_points=\n", "cluster: contact_points is empty; name at least one node"},
      {"contact_points=a%2C%2Cb\n", "cluster: contact point '' is not a host name or address"},
      {"contact_points=a%20b\n", "cluster: contact point 'a b' is not a host name or address"},
      {"contact_points=a\nport=0\n", "cluster: port=0 is not in 1 to 65535"},
      {"contact_points=a\nport=4294976338\n", "cluster: port=4294976338 is not in 1 to 65535"},
      {"contact_points=a\nusername=u\n", "cluster: username and password_ref belong together; give both, or neither"},
      {"contact_points=a\ntls_cert=c\n", "cluster: tls_cert and tls_key belong together; give both, or neither"},
      {"contact_points=a\nconnect_timeout_s=0\n",
       "cluster: connect_timeout_s=0 is not a number of seconds above 0 and up to 3600"},
      {"contact_points=a\ntls=yes\n", "cluster: tls=yes is not 0 or 1"},
  };
  for (const BadConfig& bad : bad_configs) {
    ClusterConfig config;
    const Status status = ClusterConfig::Parse(bad.text, &config);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << bad.text;
    EXPECT_EQ(status.message(), bad.message);
  }
}

TEST(ClusterConfigTest, FingerprintsDifferExactlyWhenConfigsDo) {
  ClusterConfig one, other;
  one.contact_points = other.contact_points = {"a"};
  EXPECT_EQ(one.Fingerprint(), other.Fingerprint());
  other.local_dc = "dc2";
  EXPECT_NE(one.Fingerprint(), other.Fingerprint());
  one.local_dc = "x\ny";  // No value can pass for two.
  other.local_dc = "x";
  other.username = "y";
  EXPECT_NE(one.Fingerprint(), other.Fingerprint());
}

}  // namespace
}  // namespace tfcass
