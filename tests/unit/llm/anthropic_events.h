#pragma once

/* Events of Anthropic's streams, with ' for ". */

#define START_USAGE(usage)                                                            \
    "{'type':'message_start','message':{'id':'msg_1','type':'message','role':"        \
    "'assistant','content':[],'model':'claude-x','stop_reason':null,'stop_sequence':" \
    "null,'usage':" usage "}}"
#define START START_USAGE("{'input_tokens':25,'output_tokens':1}")
#define BLOCK(block) "{'type':'content_block_start','index':0,'content_block':" block "}"
#define DELTA(delta) "{'type':'content_block_delta','index':0,'delta':" delta "}"
#define TEXT(text) DELTA("{'type':'text_delta','text':" text "}")
#define THINKING(text) DELTA("{'type':'thinking_delta','thinking':" text "}")
#define INPUT(text) DELTA("{'type':'input_json_delta','partial_json':" text "}")
#define CALL(id, input) BLOCK("{'type':'tool_use','id':'" id "','name':'f','input':" input "}")
#define STOP_BLOCK "{'type':'content_block_stop','index':0}"
#define STOP_FOR(reason)                                                         \
    "{'type':'message_delta','delta':{'stop_reason':" reason ",'stop_sequence':" \
    "null},'usage':{'output_tokens':15}}"
#define STOP "{'type':'message_stop'}"
