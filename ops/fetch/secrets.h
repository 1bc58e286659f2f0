// Secrets by reference, so that none enters a graph, a checkpoint, a log line or a message.
//
// A reference is "env:NAME" (an environment variable), "file:PATH" (its content, one trailing newline dropped) or
// "process:ID" (what PutSecret stored under ID in this process).
#ifndef TFCASS_OPS_FETCH_SECRETS_H_
#define TFCASS_OPS_FETCH_SECRETS_H_

#include <string>
#include <string_view>

#include "ops/fetch/status.h"

namespace tfcass {

// Stores or replaces. Any thread.
void PutSecret(std::string_view id, std::string_view value);

// Fills `value`. FailedPrecondition when there is nothing at the reference, InvalidArgument for a reference of no known
// kind. Messages show the reference's kind and name, never what it leads to.
Status ResolveSecret(std::string_view reference, std::string* value);

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_SECRETS_H_
