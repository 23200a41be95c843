/* The handlers of the route table, by resource. Each answers one exchange; none waits for the
 * engine except those that ask for a change. */
#ifndef DERD_API_HANDLERS_H
#define DERD_API_HANDLERS_H

#include "api/exchange.h"

/* api_service.c */
void api_page_file(struct exchange *x);
void api_openapi(struct exchange *x);
void api_health(struct exchange *x);
void api_ready(struct exchange *x);
void api_vocabulary(struct exchange *x);
/* api_metrics.c */
void api_metrics(struct exchange *x);
/* api_inventory.c */
void api_cluster_list(struct exchange *x);
void api_cluster_get(struct exchange *x);
void api_device_list(struct exchange *x);
void api_device_get(struct exchange *x);
/* api_inventory_change.c */
void api_cluster_post(struct exchange *x);
void api_cluster_patch(struct exchange *x);
void api_cluster_delete(struct exchange *x);
void api_device_post(struct exchange *x);
void api_device_patch(struct exchange *x);
void api_device_delete(struct exchange *x);
/* api_accounts.c */
void api_account_list(struct exchange *x);
void api_account_get(struct exchange *x);
void api_account_post(struct exchange *x);
void api_account_patch(struct exchange *x);
void api_account_delete(struct exchange *x);
/* api_tokens.c */
void api_token_list(struct exchange *x);
void api_token_get(struct exchange *x);
void api_token_post(struct exchange *x);
void api_token_delete(struct exchange *x);
/* api_session.c */
void api_session_get(struct exchange *x);
void api_session_post(struct exchange *x);
void api_session_delete(struct exchange *x);
/* api_flexibility.c */
void api_flexibility_list(struct exchange *x);
void api_flexibility_get(struct exchange *x);
/* api_constraints.c */
void api_constraint_list(struct exchange *x);
void api_constraint_post(struct exchange *x);
void api_constraint_get(struct exchange *x);
void api_constraint_put(struct exchange *x);
void api_constraint_delete(struct exchange *x);
/* api_batch.c */
void api_constraint_batch(struct exchange *x);
/* api_preview.c */
void api_effective_preview(struct exchange *x);
/* api_effective.c */
void api_effective_get(struct exchange *x);
/* api_operator.c */
void api_operator_get(struct exchange *x);
void api_operator_put(struct exchange *x);
void api_operator_heartbeat(struct exchange *x);
/* api_history.c */
void api_history_get(struct exchange *x);
/* api_decisions.c */
void api_decisions_get(struct exchange *x);
/* api_audit.c */
void api_audit_list(struct exchange *x);
/* api_events.c */
void api_events_get(struct exchange *x);
/* api_webhooks.c */
void api_webhook_list(struct exchange *x);
void api_webhook_post(struct exchange *x);
void api_webhook_get(struct exchange *x);
void api_webhook_patch(struct exchange *x);
void api_webhook_delete(struct exchange *x);
void api_webhook_test(struct exchange *x);
void api_webhook_deliveries(struct exchange *x);
/* api_scripts.c */
void api_driver_list(struct exchange *x);
void api_driver_get(struct exchange *x);
void api_policy_list(struct exchange *x);
void api_policy_get(struct exchange *x);
/* api_scripts_change.c */
void api_driver_put(struct exchange *x);
void api_driver_delete(struct exchange *x);
void api_policy_put(struct exchange *x);
void api_policy_delete(struct exchange *x);

#endif
