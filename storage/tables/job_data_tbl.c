/* See job_data_tbl.h. */
#include "storage/tables/job_data_tbl.h"

#include "storage/db/stmt.h"

static const char *const names[DATA_PURPOSES] = {
    [DATA_EVALUATION] = "evaluation", [DATA_CALIBRATION] = "calibration"};

const char *data_purpose_name(enum data_purpose purpose) {
    return names[purpose];
}

int job_data_tbl_pin(struct db_conn *conn, int64_t job_n, const struct job_data *data,
                     struct err *err) {
    for (size_t i = 0; i < DATA_PURPOSES; i++)
        if (data->versions[i] &&
            stmt_run(conn,
                     "INSERT INTO job_data (job, purpose, version, name) VALUES (?1, ?2, ?3, ?4)",
                     ARGS(ARG_INT(job_n), ARG_TEXT(names[i]), ARG_INT(data->versions[i]),
                          ARG_TEXT(data->names[i])),
                     err) < 0)
            return -1;
    return 0;
}

struct row {
    int64_t version;
    const char *name;
};

int job_data_tbl_read(struct db_conn *conn, int64_t job_n, struct arena *arena,
                      struct job_data *ret, struct err *err) {
    static const struct stmt_field fields[] = {
        {STMT_INT, offsetof(struct row, version)},
        {STMT_TEXT, offsetof(struct row, name)},
    };
    struct job_data data = {0};
    for (size_t i = 0; i < DATA_PURPOSES; i++) {
        struct row row;
        int found =
            stmt_find(conn,
                      "SELECT coalesce(version, 0), name FROM job_data "
                      "WHERE job = ?1 AND purpose = ?2",
                      ARGS(ARG_INT(job_n), ARG_TEXT(names[i])), fields, 2, arena, &row, err);
        if (found < 0)
            return -1;
        if (found) {
            data.versions[i] = row.version;
            data.names[i] = row.name;
        }
    }
    *ret = data;
    return 0;
}
