// @generated from clients/service_config.json. Do not edit.

/** gRPC's service config: the methods that are safe to repeat, and the default retry policy. */
export const SERVICE_CONFIG = {
  "methodConfig": [
    {
      "name": [
        {
          "service": "sealward.v1.AccessService",
          "method": "WhoAmI"
        },
        {
          "service": "sealward.v1.AccessService",
          "method": "ExplainAccess"
        },
        {
          "service": "sealward.v1.AccessService",
          "method": "ListBindings"
        },
        {
          "service": "sealward.v1.AuditService",
          "method": "ListAuditRecords"
        },
        {
          "service": "sealward.v1.AuditService",
          "method": "VerifyAuditTrail"
        },
        {
          "service": "sealward.v1.DataEncryptionService",
          "method": "IsDataEncryptionActive"
        },
        {
          "service": "sealward.v1.DataEncryptionService",
          "method": "RetrieveDataEncryptionKey"
        },
        {
          "service": "sealward.v1.DataEncryptionService",
          "method": "ListUnreadableCells"
        },
        {
          "service": "sealward.v1.DataEncryptionService",
          "method": "ListKeyChanges"
        },
        {
          "service": "sealward.v1.MetadataService",
          "method": "ListEntityMetadata"
        },
        {
          "service": "sealward.v1.MetadataService",
          "method": "GetEntityMetadata"
        },
        {
          "service": "sealward.v1.MetadataService",
          "method": "ListAttributeChanges"
        },
        {
          "service": "sealward.v1.OrganizationService",
          "method": "GetOrganization"
        },
        {
          "service": "sealward.v1.OrganizationService",
          "method": "ListOrganizations"
        },
        {
          "service": "sealward.v1.ServerService",
          "method": "GetServerInfo"
        },
        {
          "service": "sealward.v1.ServerService",
          "method": "GetServerStatus"
        },
        {
          "service": "sealward.mail.v1.EmailServerProfileService",
          "method": "GetEmailServerProfile"
        },
        {
          "service": "sealward.mail.v1.EmailServerProfileService",
          "method": "ListEmailServerProfiles"
        },
        {
          "service": "sealward.mail.v1.EmailServerProfileService",
          "method": "BatchGetEmailServerProfiles"
        },
        {
          "service": "sealward.mail.v1.MailboxService",
          "method": "GetMailbox"
        },
        {
          "service": "sealward.mail.v1.MailboxService",
          "method": "ListMailboxes"
        },
        {
          "service": "sealward.mail.v1.MailboxService",
          "method": "BatchGetMailboxes"
        },
        {
          "service": "sealward.mail.v1.QueueService",
          "method": "GetQueue"
        },
        {
          "service": "sealward.mail.v1.QueueService",
          "method": "ListQueues"
        },
        {
          "service": "sealward.mail.v1.QueueService",
          "method": "BatchGetQueues"
        },
        {
          "service": "sealward.mail.v1.UserSettingsService",
          "method": "GetUserSettings"
        },
        {
          "service": "sealward.mail.v1.UserSettingsService",
          "method": "ListUserSettings"
        },
        {
          "service": "sealward.mail.v1.UserSettingsService",
          "method": "BatchGetUserSettings"
        }
      ],
      "retryPolicy": {
        "maxAttempts": 4,
        "initialBackoff": "0.1s",
        "maxBackoff": "5s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": [
          "UNAVAILABLE"
        ]
      }
    }
  ]
} as const;
