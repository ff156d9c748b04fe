/* See schemas.h. A table; longer than usual because each row is one object of the API. */
#include "api/routes/schemas.h"

#include <string.h>

#define REF(name) "{'$ref':'#/components/schemas/" name "'}"
#define NULLABLE(schema) "{'oneOf':[{'type':'null'}," schema "]}"
#define LIST_OF(name)                                                                             \
    "{'type':'object','required':['items','next'],'properties':{'items':{'type':'array','items':" \
    "{'$ref':'#/components/schemas/" name "'}},'next':{'type':['string','null'],'description':"   \
    "'Cursor of the next page; null on the last.'}},'additionalProperties':false}"
#define TIME "{'type':'string','format':'date-time'}"
#define TIME_OR_NULL "{'type':['string','null'],'format':'date-time'}"
#define COUNT "{'type':'integer','minimum':0}"
#define NAME "{'type':'string','pattern':'^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$'}"
#define SHA256 "{'type':'string','pattern':'^[0-9a-f]{64}$'}"
#define DIGEST "{'type':'string','pattern':'^sha256:[0-9a-f]{64}$'}"

static const struct schema table[] = {
    {"Violation",
     "{'type':'object','required':['pointer','detail'],'properties':{'pointer':{'type':'string',"
     "'description':'JSON pointer into the body or recipe; empty when it has none.'},'detail':"
     "{'type':'string'},'tensor':{'type':'string'},'file':{'type':'string'},'offset':" COUNT
     ",'group':{'type':'string'},'nearest':{'type':'string','description':'The nearest value that "
     "would have worked.'}},'additionalProperties':false}"},
    {"Problem",
     "{'type':'object','description':'RFC 9457 problem.','required':['type','title','status',"
     "'detail','errors'],'properties':{'type':{'type':'string','pattern':'^/problems/'},'title':"
     "{'type':'string'},'status':{'type':'integer','minimum':400,'maximum':599},'detail':{'type':"
     "'string'},'instance':{'type':'string'},'request_id':{'type':'string'},'errors':{'type':"
     "'array','items':" REF("Violation") "}},'additionalProperties':false}"},
    {"JobProblem",
     "{'type':'object','description':'Why a job failed: a problem without an HTTP status.',"
     "'required':['type','title','detail','errors'],'properties':{'type':{'type':'string',"
     "'pattern':'^/problems/'},'title':{'type':'string'},'detail':{'type':'string'},'errors':"
     "{'type':'array','items':" REF("Violation") "}}}"},
    {"Health",
     "{'type':'object','required':['status'],'properties':{'status':{'enum':['alive','ready']}},"
     "'additionalProperties':false}"},
    {"Version",
     "{'type':'object','required':['version','api','cpu','instruction_set','blas','limits'],"
     "'properties':{'version':{'type':'string'},'commit':{'type':['string','null']},'api':{'const':"
     "1},'cpu':{'type':'string'},'cpu_features':{'type':'array','items':{'type':'string'}},"
     "'instruction_set':{'type':'string'},'blas':{'type':['string','null']},'http_library':{'type':"
     "'string'},'limits':{'type':'object','additionalProperties':" COUNT
     "}},'additionalProperties':false}"},
    {"Blob",
     "{'type':'object','required':['digest','sha256','bytes'],'properties':{'digest':" DIGEST
     ",'sha256':" SHA256 ",'bytes':" COUNT "},'additionalProperties':false}"},
    {"File",
     "{'type':'object','required':['path','digest','sha256','bytes','url'],'properties':{'path':"
     "{'type':'string'},'digest':" DIGEST ",'sha256':" SHA256 ",'bytes':" COUNT
     ",'url':{'type':'string'}},'additionalProperties':false}"},
    {"FileList",
     "{'type':'object','required':['items','next','lone'],'properties':{'items':{'type':'array',"
     "'items':{'$ref':'#/components/schemas/File'}},'next':{'type':'null'},'lone':{'type':"
     "'boolean','description':'One file, not a folder of one.'}},'additionalProperties':false}"},
    {"Tensor",
     "{'type':'object','required':['name','dtype','shape','bytes'],'properties':{'name':{'type':"
     "'string'},'component':{'type':'string'},'dtype':{'type':'string'},'shape':{'type':'array',"
     "'items':" COUNT "},'bytes':" COUNT ",'role':{'type':'string'}}}"},
    {"ModelItem",
     "{'type':'object','required':['name','version','created_at','lone','format','architecture',"
     "'parameters','bytes'],'properties':{'name':" NAME ",'version':" COUNT ",'created_at':" TIME
     ",'lone':{'type':'boolean','description':'One file, not a folder.'},'format':{'type':"
     "'string'},'architecture':{'type':['string','null']},'parameters':" COUNT ",'bytes':" COUNT
     "},'additionalProperties':false}"},
    {"ModelList", LIST_OF("ModelItem")},
    {"Model",
     "{'type':'object','required':['name','version','created_at','lone','format','architecture',"
     "'parameters','bytes','dtypes','files'],'properties':{'name':" NAME ",'version':" COUNT
     ",'created_at':" TIME ",'lone':{'type':'boolean'},'format':{'type':'string'},'architecture':"
     "{'type':['string','null']},'parameters':" COUNT ",'bytes':" COUNT
     ",'dtypes':{'type':'object','description':'Bytes by number "
     "format.','additionalProperties':" COUNT
     "},'facts':{'type':'object','additionalProperties':{'type':'string'}},'quantization':"
     "{'type':['string','null']},'files':{'type':'array','items':" REF(
         "File") "},'tensors':{'type':'array','items':" REF("Tensor") "}}}"},
    {"NamedFiles",
     "{'type':'object','required':['name','files'],'properties':{'name':" NAME
     ",'files':{'type':'array','minItems':1,'maxItems':4096,'items':{'type':'object','required':["
     "'path','digest'],'properties':{'path':{'type':'string'},'digest':" DIGEST
     "},'additionalProperties':false}}},'additionalProperties':false}"},
    {"DatasetItem",
     "{'type':'object','required':['name','version','created_at','lone','kind','samples','bytes'],"
     "'properties':{'name':" NAME ",'version':" COUNT ",'created_at':" TIME
     ",'lone':{'type':'boolean','description':'One file, not a folder.'},'kind':{'enum':['arrays',"
     "'tokens']},'samples':" COUNT ",'bytes':" COUNT "},'additionalProperties':false}"},
    {"DatasetList", LIST_OF("DatasetItem")},
    {"Dataset",
     "{'type':'object','required':['name','version','created_at','lone','kind','samples','bytes',"
     "'arrays','files'],'properties':{'name':" NAME ",'version':" COUNT ",'created_at':" TIME
     ",'lone':{'type':'boolean'},'kind':{'enum':['arrays','tokens'],'description':'Named arrays "
     "whose first axis is the sample, or token ids.'},'samples':{'type':'integer','minimum':1,"
     "'description':'Tokens, when it is one text.'},'bytes':" COUNT
     ",'arrays':{'type':'array','items':{'type':'object','required':['name','file','dtype',"
     "'shape'],'properties':{'name':{'type':'string'},'file':{'type':'string'},'dtype':{'type':"
     "'string'},'shape':{'type':'array','items':" COUNT
     "}},'additionalProperties':false}},'files':{'type':'array','items':" REF(
         "File") "}},'additionalProperties':false}"},
    {"RecipeItem",
     "{'type':'object','required':['name','summary','kind','expected_ratio','recipe'],'properties':"
     "{'name':" NAME ",'summary':{'type':'string'},'kind':{'enum':['builtin','saved']},'reads':"
     "{'type':'string','description':'Containers it fits.'},'expected_ratio':{'type':'number',"
     "'description':'Original 16-bit bytes by result, for a large model.'},'recipe':" REF(
         "Recipe") ",'schema':{'type':'object'}},'additionalProperties':false}"},
    {"RecipeList",
     "{'type':'object','required':['items','next','schema'],'properties':{'items':{'type':'array',"
     "'items':" REF("RecipeItem") "},'next':{'type':['string','null']},'schema':{'type':'object',"
                                  "'description':'JSON Schema of the recipe language, with every "
                                  "parameter.'}},"
                                  "'additionalProperties':false}"},
    {"RecipeOrName",
     "{'description':'A recipe, or the name of one.','oneOf':[{'type':'string'}," REF(
         "Recipe") "]}"},
    {"PlanCreate",
     "{'type':'object','required':['model','recipe'],'properties':{'model':" NAME ",'dataset':" NAME
     ",'recipe':" REF("RecipeOrName") "},'additionalProperties':false}"},
    {"Plan",
     "{'type':'object','required':['bytes_in','bytes_out','ratio','peak_bytes','disk_bytes',"
     "'seconds','tensors','warnings'],'properties':{'bytes_in':" COUNT ",'bytes_out':" COUNT
     ",'ratio':{'type':'number'},'peak_bytes':" COUNT ",'disk_bytes':" COUNT
     ",'seconds':{'type':'number','minimum':0},'tensors':{'type':'array','items':{'type':'object',"
     "'required':['name','role','scheme','bytes'],'properties':{'name':{'type':'string'},'role':"
     "{'type':'string'},'scheme':{'type':'string'},'bytes':" COUNT
     "}}},'warnings':{'type':'array','items':" REF("Violation") "}},'additionalProperties':false}"},
    {"Labels",
     "{'type':'object','maxProperties':32,'propertyNames':{'pattern':'^[A-Za-z0-9._/-]{1,63}$'},"
     "'additionalProperties':{'type':'string','maxLength':255}}"},
    {"JobCreate",
     "{'type':'object','required':['model','recipe'],'properties':{'model':" NAME ",'dataset':" NAME
     ",'recipe':" REF("RecipeOrName") ",'name':" NAME ",'labels':" REF(
         "Labels") ",'priority':{'type':'integer','minimum':0,'maximum':9,'default':5,'description'"
                   ":'9 goes "
                   "first; ages by one per ten minutes.'}},'additionalProperties':false}"},
    {"JobPatch", "{'type':'object','properties':{'labels':" REF(
                     "Labels") ",'priority':{'type':'integer','minimum':0,'maximum':9}},'"
                               "additionalProperties':false}"},
    {"JobState", "{'enum':['queued','running','cancelling','succeeded','failed','cancelled']}"},
    {"Progress",
     "{'type':'object','required':['stage','stage_index','stages','done','total','unit'],"
     "'properties':{'stage':{'type':'string'},'stage_index':" COUNT ",'stages':" COUNT
     ",'done':" COUNT ",'total':" COUNT ",'unit':{'type':'string'},'rate':{'type':['number',"
     "'null']},'eta_seconds':{'type':['number','null']},'metrics':{'type':'object'}}}"},
    {"Job",
     "{'type':'object','required':['id','name','revision','state','model','dataset','recipe',"
     "'labels',"
     "'priority','attempt','created_at','started_at','finished_at','progress','queue_position',"
     "'problem','summary','artifact','links'],'properties':{'id':{'type':'string','pattern':"
     "'^[0-9a-z]{26}$'},'name':{'type':['string','null']},'dataset':{'type':['string','null']},"
     "'revision':{'type':'integer','minimum':1},"
     "'state':" REF("JobState") ",'model':" NAME ",'recipe':{'type':'string'},'labels':" REF(
         "Labels") ",'priority':{'type':'integer','minimum':0,'maximum':9},'attempt':" COUNT
                   ",'created_at':" TIME ",'started_at':" TIME_OR_NULL
                   ",'finished_at':" TIME_OR_NULL ",'progress':" NULLABLE(REF(
                       "Progress")) ",'queue_position':{'type':['integer','null'],'minimum':0,'"
                                    "description':'Jobs before it; 1000 means so many or more.'},"
                                    "'problem':" NULLABLE(REF("JobProblem")) ",'summary':" NULLABLE(
                                        "{'type':'object','required':['bytes_in','bytes_out',"
                                        "'ratio','bits_per_weight','worst_sqnr_db'],'properties':{"
                                        "'bytes_in':" COUNT ",'bytes_out':" COUNT
                                        ",'ratio':{'type':'number'},'bits_per_weight':{'type':"
                                        "'number'},'worst_sqnr_db':{'type':['number','null']},"
                                        "'quality':{'type':['object','null']}}}") ",'artifact'"
                                                                                  ":" NULLABLE(
                                                                                      "{'"
                                                                                      "typ"
                                                                                      "e':"
                                                                                      "'ob"
                                                                                      "jec"
                                                                                      "t',"
                                                                                      "'re"
                                                                                      "qui"
                                                                                      "red"
                                                                                      "':["
                                                                                      "'by"
                                                                                      "tes"
                                                                                      "','"
                                                                                      "sha"
                                                                                      "256"
                                                                                      "','"
                                                                                      "fil"
                                                                                      "es'"
                                                                                      "],"
                                                                                      "'pr"
                                                                                      "ope"
                                                                                      "rti"
                                                                                      "es'"
                                                                                      ":{'"
                                                                                      "byt"
                                                                                      "es'"
                                                                                      ":" COUNT ",'"
                                                                                      "sha"
                                                                                      "256"
                                                                                      "'"
                                                                                      ":" SHA256
                                                                                      ",'"
                                                                                      "fil"
                                                                                      "es'"
                                                                                      ":{'"
                                                                                      "typ"
                                                                                      "e':"
                                                                                      "'in"
                                                                                      "teg"
                                                                                      "er'"
                                                                                      ",'"
                                                                                      "min"
                                                                                      "imu"
                                                                                      "m':"
                                                                                      "1}}"
                                                                                      ","
                                                                                      "'ad"
                                                                                      "dit"
                                                                                      "ion"
                                                                                      "alP"
                                                                                      "rop"
                                                                                      "ert"
                                                                                      "ies"
                                                                                      "':"
                                                                                      "fal"
                                                                                      "se"
                                                                                      "}") ",'"
                                                                                           "links':"
                                                                                           "{'type'"
                                                                                           ":'"
                                                                                           "object'"
                                                                                           ",'"
                                                                                           "require"
                                                                                           "d':['"
                                                                                           "self','"
                                                                                           "events'"
                                                                                           ",'log']"
                                                                                           ","
                                                                                           "'additi"
                                                                                           "onalPro"
                                                                                           "perties"
                                                                                           "':{'"
                                                                                           "type':'"
                                                                                           "string'"
                                                                                           "}}},'"
                                                                                           "additio"
                                                                                           "nalProp"
                                                                                           "erties'"
                                                                                           ":false"
                                                                                           "}"},
    {"JobList", LIST_OF("Job")},
    {"Event",
     "{'type':'object','required':['id','type','job','time','data'],'properties':{'id':" COUNT
     ",'type':{'enum':['state','progress','log','metric','artifact','error','gap']},'job':{'type':"
     "'string'},'time':" TIME ",'data':{'type':'object'}},'additionalProperties':false}"},
    {"EventPage", LIST_OF("Event")},
    {"Report",
     "{'type':'object','required':['size','parameters','tensors','stages','environment','inputs'],"
     "'properties':{'size':{'type':'object','required':['bytes_in','bytes_out','ratio']},"
     "'parameters':{'type':'object'},'tensors':{'type':'array','items':{'type':'object','required':"
     "['name','role','scheme']}},'stages':{'type':'array','items':{'type':'object','required':["
     "'name','seconds']}},'environment':{'type':'object'},'inputs':{'type':'object'}}}"},
};

const struct schema *schema_at(size_t i) {
    return i < sizeof table / sizeof *table ? &table[i] : NULL;
}

const struct schema *schema_by_name(const char *name) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}
