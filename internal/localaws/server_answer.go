package localaws

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"reflect"
	"strconv"
)

var xmlNamespaces = map[string]string{
	"ec2": "http://ec2.amazonaws.com/doc/2016-11-15/",
	"iam": "https://iam.amazonaws.com/doc/2010-05-08/",
	"sts": "https://sts.amazonaws.com/doc/2011-06-15/",
}

// write answers a call in its protocol.
func (s *Server) write(w http.ResponseWriter, c *call, err error) {
	status, body := http.StatusOK, c.result
	if err != nil {
		status, body = renderError(c, apiErrorOf(err))
	}
	h := w.Header()
	h.Set("Content-Type", contentType(c))
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Amzn-Requestid", c.requestID)
	if c.service == "ec2" {
		h.Set("X-Amz-Request-Id", c.requestID)
		h.Set("Cache-Control", "no-cache, no-store")
	}
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		s.log.Debug("answer not delivered", "action", c.action, "err", err)
	}
}

func (c *call) isJSON() bool { return jsonTargets[c.service] != "" }

func contentType(c *call) string {
	if c.isJSON() {
		return "application/x-amz-json-1.1"
	}
	return "text/xml;charset=UTF-8"
}

// render is an operation's result in the service's form.
func render(c *call, out any) []byte {
	if c.isJSON() {
		return jsonResult(out)
	}
	return xmlResult(c, out)
}

func renderError(c *call, refusal *apiError) (status int, body []byte) {
	status = refusal.status
	if status == 0 {
		status = http.StatusBadRequest
	}
	if c.isJSON() {
		return status, jsonError(refusal)
	}
	return status, xmlError(c, refusal)
}

func jsonResult(out any) []byte {
	if v := reflect.ValueOf(out); out == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return []byte("{}")
	}
	body, err := json.Marshal(out)
	if err != nil {
		panic("localaws: answer: " + err.Error())
	}
	return body
}

func jsonError(refusal *apiError) []byte {
	body, err := json.Marshal(map[string]string{"__type": refusal.code, "message": refusal.message})
	if err != nil {
		panic("localaws: answer: " + err.Error())
	}
	return body
}

// xmlResult is <XResponse> with the request id where the service has it: first
// in EC2, last in IAM and STS, whose results have an element of their own.
func xmlResult(c *call, out any) []byte {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	b.WriteString(`<` + c.action + `Response xmlns="` + xmlNamespaces[c.service] + `">`)
	fields := reflect.Indirect(reflect.ValueOf(out))
	if c.service == "ec2" {
		b.WriteString(`<requestId>` + c.requestID + `</requestId>`)
		xmlFields(&b, fields)
	} else {
		if fields.IsValid() && fields.NumField() > 0 {
			b.WriteString(`<` + c.action + `Result>`)
			xmlFields(&b, fields)
			b.WriteString(`</` + c.action + `Result>`)
		}
		b.WriteString(`<ResponseMetadata><RequestId>` + c.requestID + `</RequestId></ResponseMetadata>`)
	}
	b.WriteString(`</` + c.action + `Response>`)
	return b.Bytes()
}

func xmlError(c *call, refusal *apiError) []byte {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	if c.service == "ec2" {
		b.WriteString(`<Response><Errors><Error><Code>`)
		escape(&b, refusal.code)
		b.WriteString(`</Code><Message>`)
		escape(&b, refusal.message)
		b.WriteString(`</Message></Error></Errors><RequestID>` + c.requestID + `</RequestID></Response>`)
		return b.Bytes()
	}
	fault := "Sender"
	if refusal.status >= http.StatusInternalServerError {
		fault = "Receiver"
	}
	b.WriteString(`<ErrorResponse xmlns="` + xmlNamespaces[c.service] + `"><Error><Type>` + fault + `</Type><Code>`)
	escape(&b, refusal.code)
	b.WriteString(`</Code><Message>`)
	escape(&b, refusal.message)
	b.WriteString(`</Message></Error><RequestId>` + c.requestID + `</RequestId></ErrorResponse>`)
	return b.Bytes()
}

func escape(b *bytes.Buffer, text string) {
	_ = xml.EscapeText(b, []byte(text)) // a bytes.Buffer takes all
}
