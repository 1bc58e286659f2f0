// Where the driver's sessions go to be closed and freed, as both may block for as long as a request is open.
#ifndef TFCASS_OPS_FETCH_RETIRED_SESSIONS_H_
#define TFCASS_OPS_FETCH_RETIRED_SESSIONS_H_

#include <memory>

#include "ops/driver/handles.h"

namespace tfcass {

// Takes a session whose owner is done with it; never blocks. `connecting` is its connect's future when that has not
// been seen to end, else null. The session is closed once it is connected, and freed by a later call of either function
// here that finds it closed. What is left at exit is left to the system. Not to be called on a driver thread.
void RetireSession(std::shared_ptr<const DriverApi> api, CassSession* session, FuturePtr connecting);

// Frees the retired sessions that are closed by now. Returns how many are not.
size_t FreeClosedSessions();

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_RETIRED_SESSIONS_H_
