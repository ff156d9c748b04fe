/* Unlinking a large file takes tens of milliseconds: staged files of failed uploads are thrown away
 * on a pool thread, or here when the pool takes nothing. NULL is fine. */
#ifndef API_ROUTES_DISCARD_H
#define API_ROUTES_DISCARD_H

#include "api/http/service.h"

void discard_staged(struct service *service, struct staged *staged);

#endif
