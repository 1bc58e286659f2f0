// Types and constants of the driver's C API, declared here because no package ships its header.
//
// The API has been stable since driver 2.0: opaque handles, and enumerations whose values are part of the ABI. Only
// what tfcass uses is declared. Names are the driver's own, so that its manual applies.
#ifndef TFCASS_OPS_DRIVER_DRIVER_TYPES_H_
#define TFCASS_OPS_DRIVER_DRIVER_TYPES_H_

#include <cstdint>

extern "C" {

typedef struct CassCluster_ CassCluster;
typedef struct CassSession_ CassSession;
typedef struct CassFuture_ CassFuture;
typedef struct CassPrepared_ CassPrepared;
typedef struct CassStatement_ CassStatement;
typedef struct CassResult_ CassResult;
typedef struct CassIterator_ CassIterator;
typedef struct CassRow_ CassRow;
typedef struct CassValue_ CassValue;
typedef struct CassDataType_ CassDataType;
typedef struct CassSsl_ CassSsl;
typedef struct CassRetryPolicy_ CassRetryPolicy;
typedef struct CassCollection_ CassCollection;
typedef struct CassNode_ CassNode;

typedef enum CassCollectionType_ { CASS_COLLECTION_TYPE_LIST = 0x0020 } CassCollectionType;

typedef enum cass_bool_t_ { cass_false = 0, cass_true = 1 } cass_bool_t;

// Runs on a driver thread, or inside cass_future_set_callback when the reply is already there.
typedef void (*CassFutureCallback)(CassFuture* future, void* data);

typedef struct CassUuid_ {
  uint64_t time_and_version;    // time_low | time_mid << 32 | time_hi_and_version << 48
  uint64_t clock_seq_and_node;  // the last 8 bytes, read big-endian
} CassUuid;

typedef struct CassInet_ {
  uint8_t address[16];
  uint8_t address_length;  // 4 or 16.
} CassInet;

typedef enum CassHostListenerEvent_ {
  CASS_HOST_LISTENER_EVENT_UP = 0,
  CASS_HOST_LISTENER_EVENT_DOWN = 1,
  CASS_HOST_LISTENER_EVENT_ADD = 2,
  CASS_HOST_LISTENER_EVENT_REMOVE = 3,
} CassHostListenerEvent;

// Runs on a driver thread.
typedef void (*CassHostListenerCallback)(CassHostListenerEvent event, CassInet address, void* data);

typedef enum CassLogLevel_ {
  CASS_LOG_DISABLED = 0,
  CASS_LOG_CRITICAL = 1,
  CASS_LOG_ERROR = 2,
  CASS_LOG_WARN = 3,
  CASS_LOG_INFO = 4,
  CASS_LOG_DEBUG = 5,
  CASS_LOG_TRACE = 6,
} CassLogLevel;

typedef struct CassLogMessage_ {
  uint64_t time_ms;  // Since the epoch.
  CassLogLevel severity;
  const char* file;
  int line;
  const char* function;
  char message[1024];
} CassLogMessage;

typedef void (*CassLogCallback)(const CassLogMessage* message, void* data);

typedef enum CassSslVerifyFlags_ {
  CASS_SSL_VERIFY_NONE = 0,
  CASS_SSL_VERIFY_PEER_CERT = 1,          // Signed by a trusted authority, and in date.
  CASS_SSL_VERIFY_PEER_IDENTITY = 2,      // Names the address that was connected to.
  CASS_SSL_VERIFY_PEER_IDENTITY_DNS = 4,  // Names the host that the address resolves to.
} CassSslVerifyFlags;

typedef enum CassConsistency_ {
  CASS_CONSISTENCY_ONE = 1,
  CASS_CONSISTENCY_TWO = 2,
  CASS_CONSISTENCY_THREE = 3,
  CASS_CONSISTENCY_QUORUM = 4,
  CASS_CONSISTENCY_ALL = 5,
  CASS_CONSISTENCY_LOCAL_QUORUM = 6,
  CASS_CONSISTENCY_LOCAL_ONE = 10,
} CassConsistency;

typedef enum CassValueType_ {
  CASS_VALUE_TYPE_CUSTOM = 0x0000,
  CASS_VALUE_TYPE_ASCII = 0x0001,
  CASS_VALUE_TYPE_BIGINT = 0x0002,
  CASS_VALUE_TYPE_BLOB = 0x0003,
  CASS_VALUE_TYPE_BOOLEAN = 0x0004,
  CASS_VALUE_TYPE_COUNTER = 0x0005,
  CASS_VALUE_TYPE_DECIMAL = 0x0006,
  CASS_VALUE_TYPE_DOUBLE = 0x0007,
  CASS_VALUE_TYPE_FLOAT = 0x0008,
  CASS_VALUE_TYPE_INT = 0x0009,
  CASS_VALUE_TYPE_TEXT = 0x000A,
  CASS_VALUE_TYPE_TIMESTAMP = 0x000B,
  CASS_VALUE_TYPE_UUID = 0x000C,
  CASS_VALUE_TYPE_VARCHAR = 0x000D,
  CASS_VALUE_TYPE_VARINT = 0x000E,
  CASS_VALUE_TYPE_TIMEUUID = 0x000F,
  CASS_VALUE_TYPE_INET = 0x0010,
  CASS_VALUE_TYPE_DATE = 0x0011,
  CASS_VALUE_TYPE_TIME = 0x0012,
  CASS_VALUE_TYPE_SMALL_INT = 0x0013,
  CASS_VALUE_TYPE_TINY_INT = 0x0014,
  CASS_VALUE_TYPE_DURATION = 0x0015,
  CASS_VALUE_TYPE_LIST = 0x0020,
  CASS_VALUE_TYPE_MAP = 0x0021,
  CASS_VALUE_TYPE_SET = 0x0022,
  CASS_VALUE_TYPE_UDT = 0x0030,
  CASS_VALUE_TYPE_TUPLE = 0x0031,
  CASS_VALUE_TYPE_UNKNOWN = 0xFFFF,
} CassValueType;

// source << 24 | code. Sources: 1 the driver itself, 2 the server (its code is the protocol's), 3 TLS.
typedef enum CassError_ {
  CASS_OK = 0,

  CASS_ERROR_LIB_BAD_PARAMS = 0x01000001,
  CASS_ERROR_LIB_NO_STREAMS = 0x01000002,
  CASS_ERROR_LIB_UNABLE_TO_INIT = 0x01000003,
  CASS_ERROR_LIB_MESSAGE_ENCODE = 0x01000004,
  CASS_ERROR_LIB_HOST_RESOLUTION = 0x01000005,
  CASS_ERROR_LIB_UNEXPECTED_RESPONSE = 0x01000006,
  CASS_ERROR_LIB_REQUEST_QUEUE_FULL = 0x01000007,
  CASS_ERROR_LIB_NO_AVAILABLE_IO_THREAD = 0x01000008,
  CASS_ERROR_LIB_WRITE_ERROR = 0x01000009,
  CASS_ERROR_LIB_NO_HOSTS_AVAILABLE = 0x0100000A,
  CASS_ERROR_LIB_INDEX_OUT_OF_BOUNDS = 0x0100000B,
  CASS_ERROR_LIB_INVALID_ITEM_COUNT = 0x0100000C,
  CASS_ERROR_LIB_INVALID_VALUE_TYPE = 0x0100000D,
  CASS_ERROR_LIB_REQUEST_TIMED_OUT = 0x0100000E,
  CASS_ERROR_LIB_UNABLE_TO_SET_KEYSPACE = 0x0100000F,
  CASS_ERROR_LIB_CALLBACK_ALREADY_SET = 0x01000010,
  CASS_ERROR_LIB_INVALID_STATEMENT_TYPE = 0x01000011,
  CASS_ERROR_LIB_NAME_DOES_NOT_EXIST = 0x01000012,
  CASS_ERROR_LIB_UNABLE_TO_DETERMINE_PROTOCOL = 0x01000013,
  CASS_ERROR_LIB_NULL_VALUE = 0x01000014,
  CASS_ERROR_LIB_NOT_IMPLEMENTED = 0x01000015,
  CASS_ERROR_LIB_UNABLE_TO_CONNECT = 0x01000016,
  CASS_ERROR_LIB_UNABLE_TO_CLOSE = 0x01000017,
  CASS_ERROR_LIB_INTERNAL_ERROR = 0x0100001C,
  CASS_ERROR_LIB_INVALID_DATA = 0x0100001E,
  CASS_ERROR_LIB_NOT_ENOUGH_DATA = 0x0100001F,
  CASS_ERROR_LIB_INVALID_STATE = 0x01000020,

  CASS_ERROR_SERVER_SERVER_ERROR = 0x02000000,
  CASS_ERROR_SERVER_PROTOCOL_ERROR = 0x0200000A,
  CASS_ERROR_SERVER_BAD_CREDENTIALS = 0x02000100,
  CASS_ERROR_SERVER_UNAVAILABLE = 0x02001000,
  CASS_ERROR_SERVER_OVERLOADED = 0x02001001,
  CASS_ERROR_SERVER_IS_BOOTSTRAPPING = 0x02001002,
  CASS_ERROR_SERVER_TRUNCATE_ERROR = 0x02001003,
  CASS_ERROR_SERVER_WRITE_TIMEOUT = 0x02001100,
  CASS_ERROR_SERVER_READ_TIMEOUT = 0x02001200,
  CASS_ERROR_SERVER_READ_FAILURE = 0x02001300,
  CASS_ERROR_SERVER_FUNCTION_FAILURE = 0x02001400,
  CASS_ERROR_SERVER_WRITE_FAILURE = 0x02001500,
  CASS_ERROR_SERVER_SYNTAX_ERROR = 0x02002000,
  CASS_ERROR_SERVER_UNAUTHORIZED = 0x02002100,
  CASS_ERROR_SERVER_INVALID_QUERY = 0x02002200,
  CASS_ERROR_SERVER_CONFIG_ERROR = 0x02002300,
  CASS_ERROR_SERVER_ALREADY_EXISTS = 0x02002400,
  CASS_ERROR_SERVER_UNPREPARED = 0x02002500,

  CASS_ERROR_SSL_INVALID_CERT = 0x03000001,
  CASS_ERROR_SSL_INVALID_PRIVATE_KEY = 0x03000002,
  CASS_ERROR_SSL_NO_PEER_CERT = 0x03000003,
  CASS_ERROR_SSL_INVALID_PEER_CERT = 0x03000004,
  CASS_ERROR_SSL_IDENTITY_MISMATCH = 0x03000005,
  CASS_ERROR_SSL_PROTOCOL_ERROR = 0x03000006,
  CASS_ERROR_SSL_CLOSED = 0x03000007,
} CassError;

}  // extern "C"

#endif  // TFCASS_OPS_DRIVER_DRIVER_TYPES_H_
