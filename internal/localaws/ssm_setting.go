package localaws

import (
	"strings"
	"time"
)

// hostManagementSetting is the setting that names the default host management role.
const hostManagementSetting = "/ssm/managed-instance/default-ec2-instance-management-role"

// serviceSettings are the settings of Systems Manager with their defaults.
var serviceSettings = map[string]string{
	hostManagementSetting:                              "$None",
	"/ssm/managed-instance/activation-tier":            "standard",
	"/ssm/parameter-store/default-parameter-tier":      "Standard",
	"/ssm/parameter-store/high-throughput-enabled":     "false",
	"/ssm/documents/console/public-sharing-permission": "Enable",
	"/ssm/automation/customer-script-log-destination":  "",
	"/ssm/opsinsights/opscenter":                       "Disabled",
	"/ssm/automation/enable-adaptive-concurrency":      "false",
	"/ssm/appmanager/appmanager-enabled":               "false",
	"/ssm/automation/customer-script-log-group-name":   "",
}

// An ssmSetting is a setting that was changed.
type ssmSetting struct {
	value    string
	modified time.Time
	by       string
}

func ssmSettingOperations() map[string]operation {
	return map[string]operation{
		"GetServiceSetting":    jsonOp(getServiceSetting),
		"UpdateServiceSetting": jsonOp(updateServiceSetting),
		"ResetServiceSetting":  jsonOp(resetServiceSetting),
	}
}

// hostManagementRole is the role that agents without a profile of their own may use; nil if there is none.
func (s *Server) hostManagementRole(account, region string) *iamRole {
	value := s.ssmPlace(account, region).settings[hostManagementSetting].value
	if value == "" || value == "$None" {
		return nil
	}
	return s.iam.accounts[account].roles[nameOf(value)]
}

type serviceSettingIn struct {
	SettingID string `json:"SettingId" required:"true"`
}

type serviceSettingOut struct {
	ServiceSetting serviceSetting `json:"ServiceSetting"`
}

type serviceSetting struct {
	SettingID        string       `json:"SettingId"`
	SettingValue     string       `json:"SettingValue"`
	LastModifiedDate epochSeconds `json:"LastModifiedDate"`
	LastModifiedUser string       `json:"LastModifiedUser"`
	ARN              string       `json:"ARN"`
	Status           string       `json:"Status"`
}

// settingID reads a setting's id, which may be an ARN.
func settingID(id string) (string, error) {
	if _, name, ok := strings.Cut(id, ":servicesetting"); ok {
		id = name
	}
	if _, ok := serviceSettings[id]; !ok {
		return "", refuse("ServiceSettingNotFound", "Setting %s not found", id)
	}
	return id, nil
}

func getServiceSetting(c *call, in *serviceSettingIn) (*serviceSettingOut, error) {
	id, err := settingID(in.SettingID)
	if err != nil {
		return nil, err
	}
	return &serviceSettingOut{c.setting(id)}, nil
}

func (c *call) setting(id string) serviceSetting {
	view := serviceSetting{
		SettingID: id, SettingValue: serviceSettings[id], LastModifiedUser: "System", Status: "Default",
		LastModifiedDate: epochSeconds(time.Unix(0, 0)),
		ARN:              "arn:aws:ssm:" + c.region + ":" + c.caller.account + ":servicesetting" + id,
	}
	if changed, ok := c.ssm().settings[id]; ok {
		view.SettingValue, view.Status = changed.value, "Customized"
		view.LastModifiedDate, view.LastModifiedUser = epochSeconds(changed.modified), changed.by
	}
	return view
}

type updateServiceSettingIn struct {
	SettingID    string `json:"SettingId" required:"true"`
	SettingValue string `json:"SettingValue" required:"true"`
}

func updateServiceSetting(c *call, in *updateServiceSettingIn) (*struct{}, error) {
	id, err := settingID(in.SettingID)
	if err != nil {
		return nil, err
	}
	if id == hostManagementSetting && c.account().roles[nameOf(in.SettingValue)] == nil {
		return nil, refuse("ValidationException", "The role %s does not exist or is not accessible.", in.SettingValue)
	}
	c.ssm().settings[id] = ssmSetting{in.SettingValue, c.now, c.caller.arn}
	return &struct{}{}, nil
}

func resetServiceSetting(c *call, in *serviceSettingIn) (*serviceSettingOut, error) {
	id, err := settingID(in.SettingID)
	if err != nil {
		return nil, err
	}
	delete(c.ssm().settings, id)
	return &serviceSettingOut{c.setting(id)}, nil
}
