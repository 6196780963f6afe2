package localaws

import "net/http"

// refuseSignature words a fault as the service does; the codes decide whether
// an SDK retries with a corrected clock, asks for new credentials, or ends.
func refuseSignature(service string, fault *sigFault) *apiError {
	if fault.kind == sigElsewhere {
		return &apiError{code: codeNotHere, message: fault.detail, status: http.StatusNotImplemented}
	}
	code, status := signatureCode(service, fault.kind)
	message := fault.detail
	if service == "ec2" {
		message = ec2SignatureMessage(fault)
	}
	return &apiError{code: code, message: message, status: status}
}

func signatureCode(service string, kind sigFaultKind) (code string, status int) {
	switch service {
	case "ec2":
		return ec2SignatureCode(kind)
	case "iam", "sts":
		return querySignatureCode(kind), http.StatusForbidden
	default:
		return jsonSignatureCode(kind), http.StatusBadRequest
	}
}

func ec2SignatureCode(kind sigFaultKind) (code string, status int) {
	switch kind {
	case sigMissing:
		return "MissingParameter", http.StatusBadRequest
	case sigIncomplete:
		return "IncompleteSignature", http.StatusBadRequest
	case sigSkewed, sigExpired:
		return "RequestExpired", http.StatusBadRequest
	case sigUnknownKey, sigMismatch, sigScope, sigElsewhere:
	}
	return "AuthFailure", http.StatusUnauthorized
}

func ec2SignatureMessage(fault *sigFault) string {
	switch fault.kind {
	case sigMissing:
		return "The request must contain the parameter AWSAccessKeyId"
	case sigSkewed, sigExpired:
		return "Request has expired."
	case sigUnknownKey, sigMismatch:
		return "AWS was not able to validate the provided access credentials"
	case sigIncomplete, sigScope, sigElsewhere:
	}
	return fault.detail
}

func querySignatureCode(kind sigFaultKind) string {
	switch kind {
	case sigMissing:
		return "MissingAuthenticationToken"
	case sigIncomplete:
		return "IncompleteSignature"
	case sigUnknownKey:
		return "InvalidClientTokenId"
	case sigExpired:
		return "ExpiredToken"
	case sigMismatch, sigSkewed, sigScope, sigElsewhere:
	}
	return "SignatureDoesNotMatch"
}

func jsonSignatureCode(kind sigFaultKind) string {
	switch kind {
	case sigMissing:
		return "MissingAuthenticationTokenException"
	case sigIncomplete:
		return "IncompleteSignatureException"
	case sigUnknownKey:
		return "UnrecognizedClientException"
	case sigExpired:
		return "ExpiredTokenException"
	case sigMismatch, sigSkewed, sigScope, sigElsewhere:
	}
	return "InvalidSignatureException"
}
