/* See schemas.h. A table; longer than usual because each row is one object of the API. */
#include "api/routes/schemas.h"

#include <string.h>

#define REF(name) "{'$ref':'#/components/schemas/" name "'}"
#define LIST_OF(name)                                                                             \
    "{'type':'object','required':['items','next'],'properties':{'items':{'type':'array','items':" \
    "{'$ref':'#/components/schemas/" name "'}},'next':{'type':['string','null'],'description':"   \
    "'Cursor of the next page; null on the last.'}},'additionalProperties':false}"
#define TIME "{'type':'string','format':'date-time'}"
#define TIME_OR_NULL "{'type':['string','null'],'format':'date-time'}"
#define COUNT "{'type':'integer','minimum':0}"
#define NAME "{'type':'string','pattern':'^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$'}"
#define SHA256 "{'type':'string','pattern':'^[0-9a-f]{64}$'}"
#define DATASET                                                                                  \
    "{'allOf':[" NAME "],'description':'Calibrates and measures, unless the recipe names other " \
    "sets.'}"
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
     "'items':" COUNT "},'bytes':" COUNT ",'role':{'type':'string','description':'What it is for: "
     "attn_qkv, attn_out, mlp, embed, head, "
     "norm, conv, bias, other, and first or last; several with commas between. Of an ONNX model by "
     "its graph, else by its name.'},'nodes':{'type':'array','items':{'type':'string'},"
     "'description':'The first nodes of the graph that read it: what node:GLOB selects by.'}}}"},
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
     "{'type':'object','required':['model','recipe'],'properties':{'model':" NAME
     ",'dataset':" DATASET ",'recipe':" REF("RecipeOrName") "},'additionalProperties':false}"},
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
     "{'type':'object','required':['model','recipe'],'properties':{'model':" NAME
     ",'dataset':" DATASET ",'recipe':" REF("RecipeOrName") ",'name':" NAME ",'labels':" REF(
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
    {"Quality",
     "{'type':'object','description':'The first of accuracy, perplexity, kl, psnr, cosine "
     "and sqnr that was measured.','required':['metric','value','before'],"
     "'properties':{'metric':{'type':'string'},'value':{'type':['number','null']},"
     "'before':{'type':['number','null'],'description':'Of the original; null when it is "
     "a comparison with it.'}},'additionalProperties':false}"},
    {"JobSummary",
     "{'type':'object','required':['bytes_in','bytes_out','ratio','bits_per_weight',"
     "'worst_sqnr_db','quality'],'properties':{'bytes_in':" COUNT ",'bytes_out':" COUNT
     ",'ratio':{'type':'number'},'bits_per_weight':{'type':'number'},"
     "'worst_sqnr_db':{'type':['number','null']},'quality':{'oneOf':[{'type':'null'},"
     "{'$ref':'#/components/schemas/Quality'}]}},'additionalProperties':false}"},
    {"JobArtifact",
     "{'type':'object','required':['bytes','sha256','files'],'properties':{'bytes':" COUNT
     ",'sha256':" SHA256 ",'files':{'type':'integer','minimum':1}},'additionalProperties':false}"},
    {"JobLinks", "{'type':'object','required':['self','events','log'],"
                 "'additionalProperties':{'type':'string'}}"},
    {"Job", "{'type':'object','required':['id','name','revision','state','model','dataset',"
            "'recipe','labels','priority','attempt','created_at','started_at','finished_at',"
            "'progress','queue_position','problem','summary','artifact','links'],"
            "'properties':{'id':{'type':'string','pattern':'^[0-9a-z]{26}$'},"
            "'name':{'type':['string','null']},'revision':{'type':'integer','minimum':1},"
            "'state':{'$ref':'#/components/schemas/JobState'},'model':" NAME
            ",'dataset':{'type':['string','null'],'description':'The one it was submitted with; "
            "the recipe may name others.'},'recipe':{'type':'string'},"
            "'labels':{'$ref':'#/components/schemas/Labels'},'priority':{'type':'integer',"
            "'minimum':0,'maximum':9},'attempt':" COUNT ",'created_at':" TIME
            ",'started_at':" TIME_OR_NULL ",'finished_at':" TIME_OR_NULL
            ",'progress':{'oneOf':[{'type':'null'},{'$ref':'#/components/schemas/Progress'}]},"
            "'queue_position':{'type':['integer','null'],'minimum':0,'description':'Jobs before "
            "it; 1000 means so many or more.'},'problem':{'oneOf':[{'type':'null'},"
            "{'$ref':'#/components/schemas/JobProblem'}]},'summary':{'oneOf':[{'type':'null'},"
            "{'$ref':'#/components/schemas/JobSummary'}]},'artifact':{'oneOf':[{'type':'null'},"
            "{'$ref':'#/components/schemas/JobArtifact'}]},"
            "'links':{'$ref':'#/components/schemas/JobLinks'}},'additionalProperties':false}"},
    {"JobList", LIST_OF("Job")},
    {"Event",
     "{'type':'object','required':['id','type','job','time','data'],'properties':{'id':" COUNT
     ",'type':{'enum':['state','progress','log','metric','artifact','error','gap']},'job':{'type':"
     "'string'},'time':" TIME ",'data':{'type':'object'}},'additionalProperties':false}"},
    {"EventPage", LIST_OF("Event")},
    {"Metric",
     "{'type':'object','required':['value','count','unit','higher_is_better','protocol'],"
     "'properties':{'value':{'type':['number','null'],'description':'Null when it is "
     "infinite: exact is then true.'},'exact':{'type':'boolean'},'count':" COUNT
     ",'median':{'type':'number'},'p99_9':{'type':'number'},'max':{'type':'number'},"
     "'histogram':{'type':'object','description':'Of the positions, in bins evenly "
     "spaced in the logarithm to base 10.','required':['log10_from','log10_to',"
     "'counts'],'properties':{'log10_from':{'type':'number'},'log10_to':{'type':"
     "'number'},'counts':{'type':'array','items':" COUNT "}},'additionalProperties':false},"
     "'unit':{'type':'string'},'higher_is_better':{'type':'boolean'},"
     "'protocol':{'type':'string','description':'How it was measured, in a sentence.'},"
     "'before':{'type':['number','null'],'description':'Of the original.'}},"
     "'additionalProperties':false}"},
    {"Metrics",
     "{'type':'object','description':'By name: cross_entropy, perplexity, accuracy, top5, "
     "kl, top1_agreement, mse, psnr, cosine, sqnr.',"
     "'additionalProperties':{'$ref':'#/components/schemas/Metric'}}"},
    {"Evaluation",
     "{'type':'object','required':['metrics','outputs','layers','protocol','parameters',"
     "'macs','latency','memory'],"
     "'properties':{'metrics':{'$ref':'#/components/schemas/Metrics'},"
     "'outputs':{'type':'array','items':{'type':'object','required':['name','scores',"
     "'metrics'],'properties':{'name':{'type':'string'},'scores':{'type':'boolean'},"
     "'metrics':{'$ref':'#/components/schemas/Metrics'}},'additionalProperties':false}},"
     "'layers':{'type':'array','description':'In the order of the graph, against the "
     "original.','items':{'type':'object','required':['name','node','op_type','compared',"
     "'sqnr_db','exact','max_error'],'properties':{'name':{'type':'string'},"
     "'node':{'type':'string'},'op_type':{'type':'string'},'compared':{'type':'boolean',"
     "'description':'Both give floats of one shape there.'},'sqnr_db':{'type':['number',"
     "'null']},'exact':{'type':'boolean'},'max_error':{'type':['number','null']}},"
     "'additionalProperties':false}},'protocol':{'type':'object',"
     "'required':['dataset_kind','samples','left_out','batch','labels','against_original'],"
     "'properties':{'dataset_kind':{'enum':['arrays','tokens']},'samples':" COUNT
     ",'left_out':" COUNT ",'batch':" COUNT ",'window':" COUNT ",'stride':" COUNT
     ",'labels':{'enum':['none','scored','unused'],'description':'unused: no output of scores fits "
     "them.'},'against_original':{'type':'boolean'}},'additionalProperties':false},'parameters'"
     ":" COUNT ",'macs':{'type':'integer','minimum':0,'description':'Of one sample.'},"
     "'latency':{'oneOf':[{'type':'null'},{'type':'object','required':['median_ms',"
     "'p10_ms','p90_ms','runs','batch','threads','protocol'],"
     "'properties':{'median_ms':{'type':'number'},'p10_ms':{'type':'number'},"
     "'p90_ms':{'type':'number'},'runs':" COUNT ",'batch':" COUNT ",'threads':" COUNT
     ",'protocol':{'type':'string'}},'additionalProperties':false}]},"
     "'memory':{'type':'object','required':['workspace_bytes','weight_bytes'],"
     "'properties':{'workspace_bytes':" COUNT ",'weight_bytes':" COUNT
     "},'additionalProperties':false}},'additionalProperties':false}"},
    {"Calibration",
     "{'type':'object','description':'What the static ranges of activations come from.',"
     "'required':['dataset','files','dataset_kind','samples','batch','method','protocol','ranges'],"
     "'properties':{'dataset':{'type':['string','null']},'files':{'type':'array',"
     "'items':{'$ref':'#/components/schemas/ReportFile'}},"
     "'dataset_kind':{'enum':['arrays','tokens']},'samples':" COUNT ",'batch':" COUNT
     ",'window':" COUNT ",'method':{'enum':['minmax','percentile','mse','entropy']},"
     "'protocol':{'type':'string','description':'How the limit is chosen, in a sentence.'},"
     "'ranges':{'type':'array','items':{'type':'object','required':['value','min','max',"
     "'limit','scale','zero_point','count','zeros','clamped','histogram'],"
     "'properties':{'value':{'type':'string','description':'Its name in the original.'},"
     "'min':{'type':'number'},'max':{'type':'number'},'limit':{'type':'number','minimum':0,"
     "'description':'The magnitude that the largest code stands for.'},"
     "'scale':{'type':'number'},'zero_point':{'type':'integer','description':'The code of 0: the "
     "lowest where nothing is "
     "negative.'},'count':{'type':'integer','minimum':0,'description':'Numbers seen.'},"
     "'zeros':" COUNT ",'clamped':{'type':'integer','minimum':0,'description':'Of a magnitude "
     "above the limit.'},'histogram':{'type':'object','description':'Magnitudes in equal bins "
     "from zero on, zeros left out.','required':['to','counts'],'properties':{'to':{'type':"
     "'number','minimum':0},'counts':{'type':'array','items':" COUNT
     "}},'additionalProperties':false}},'additionalProperties':false}}},"
     "'additionalProperties':false}"},
    {"ReportFile",
     "{'type':'object','required':['path','bytes','sha256'],'properties':{'path':{'type':'string'},"
     "'bytes':" COUNT ",'sha256':{'oneOf':[{'type':'null'}," SHA256
     "]}},'additionalProperties':false}"},
    {"Report",
     "{'type':'object','required':['size','parameters','nonzero','sparsity','macs',"
     "'tensors','metrics','evaluation','calibration','stages','warnings','files','environment',"
     "'inputs'],'properties':{'size':{'type':'object','required':['bytes_in','bytes_out',"
     "'ratio']},'parameters':{'type':'object','required':['before','after'],"
     "'properties':{'before':" COUNT ",'after':" COUNT
     "},'additionalProperties':false},'nonzero':{'type':'object','required':['before',"
     "'after'],'properties':{'before':" COUNT ",'after':" COUNT
     "},'additionalProperties':false},'sparsity':{'type':'object','required':['before',"
     "'after'],'properties':{'before':{'type':'number'},'after':{'type':'number'}},"
     "'additionalProperties':false},'macs':{'oneOf':[{'type':'null'},{'type':'object',"
     "'required':['before','after'],'properties':{'before':" COUNT ",'after':" COUNT
     "},'additionalProperties':false}],'description':'Of one sample; null when nothing "
     "was measured.'},'tensors':{'type':'array','items':{'type':'object',"
     "'required':['name','role','scheme']}},"
     "'metrics':{'$ref':'#/components/schemas/Metrics'},"
     "'evaluation':{'oneOf':[{'type':'null'},{'type':'object','required':['dataset','files',"
     "'before','after'],'properties':{'dataset':{'type':['string','null']},'files':{"
     "'type':'array','items':{'$ref':'#/components/schemas/ReportFile'}},"
     "'before':{'$ref':'#/components/schemas/Evaluation'},"
     "'after':{'$ref':'#/components/schemas/Evaluation'}},'additionalProperties':false}]},"
     "'calibration':{'oneOf':[{'type':'null'},{'$ref':'#/components/schemas/Calibration'}]},"
     "'stages':{'type':'array','items':{'type':'object','required':['name','seconds',"
     "'peak_bytes','predicted_bytes']}},'warnings':{'type':'array',"
     "'items':{'$ref':'#/components/schemas/Violation'}},'files':{'type':'array',"
     "'items':{'$ref':'#/components/schemas/ReportFile'}},"
     "'environment':{'type':'object'},'inputs':{'type':'object'}}}"},
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
